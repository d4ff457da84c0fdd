//! One plugin on the bench: the real engine and the real chain, over a session, an envelope and a
//! message that are given, without a socket.
//!
//! ```text
//! scenario file ── Suite ── Scenario ── Given ──► Workbench::play ──► Played
//!                              └─────── Expected ──────────── verify ──┴──► Difference...
//! ```

mod delivered;
mod expected;
mod fact;
mod forms;
mod given;
mod play;
mod setup;
mod suite;
mod watch;
mod world;

pub use delivered::Delivered;
pub use expected::{Difference, Expected};
pub use fact::Fact;
pub use forms::{edit as edit_fact, verdict as verdict_fact};
pub use given::{Given, Mail, read_file, with_crlf};
pub use play::{Ended, Played, Workbench, WorkbenchError, inspect};
pub use setup::{Options, Setup};
pub use suite::{Scenario, Suite};
pub use watch::Called;
pub use world::{Names, World, WorldError};
