//! One plugin on the bench: the real engine and the real chain, over a session, an envelope and a
//! message that are given, without a socket.
//!
//! ```text
//! scenario file ── Suite ── Scenario ── Given ──► Workbench::play ──► Played
//!                              └─────── Expected ──────────── verify ──┴──► Difference...
//! ```

mod delivered;
mod doubles;
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
pub(crate) use delivered::{fit, list, values};
pub use doubles::Doubles;
pub use expected::{Difference, Expected};
pub use fact::Fact;
pub(crate) use fact::{Form, Matcher, Pattern, Short, quoted};
pub(crate) use forms::{EDITS, REPLY};
pub use forms::{edit as edit_fact, verdict as verdict_fact};
pub use given::{Given, Mail, read_file, with_crlf};
pub(crate) use given::{address, read_message};
pub use play::{Ended, Played, Workbench, WorkbenchError, inspect};
pub use setup::{Options, Setup};
pub use suite::{Scenario, Suite};
pub(crate) use suite::{decode, items, merged, octets};
pub use watch::Called;
pub use world::{Names, World, WorldError};
