//! Scenario files for a whole configuration: who connects, what is sent, and what is to come of it.
//!
//! ```text
//! scenario file ── Suite ── Scenario ── Inquiry ──► (explain) ──► Explanation
//!                              └─────── Expected ──────────── differences ──┴──► Difference...
//! ```
//!
//! The words are those of the workbench, whose scenarios are for one plugin.

mod answers;
mod delivered;
mod expected;
mod given;
mod score;

use std::path::{Path, PathBuf};

use crate::config::section::{Reader, Section};
use crate::config::tree::Node;
use crate::config::{Config, Mistakes, Place};
use crate::explain::Inquiry;
use crate::workbench::{decode, items, merged, octets};

pub use expected::Expected;

/// One scenario file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Where it lies.
    pub file: PathBuf,
    /// In the order of the file.
    pub scenarios: Vec<Scenario>,
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it tells.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What is given.
    pub inquiry: Inquiry,
    /// What is expected.
    pub expected: Expected,
}

impl Suite {
    const KEYS: &'static [&'static str] = &["mail", "message", "scenarios", "session"];
    const SCENARIO_KEYS: &'static [&'static str] =
        &["expect", "mail", "message", "name", "session"];

    /// Reads a scenario file about a configuration.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn read(file: &Path, config: &Config) -> Result<Self, Mistakes> {
        Self::parse(file, octets(file)?, config)
    }

    /// Reads scenarios that need not be a file; `file` is for messages and for relative paths.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn parse(file: &Path, octets: Vec<u8>, config: &Config) -> Result<Self, Mistakes> {
        let read = |reader: &Reader<'_>, root: &Node| read_all(reader, root, config);
        let (scenarios, _) = decode(file, octets, read)?;
        Ok(Self { file: file.to_owned(), scenarios })
    }
}

fn read_all(reader: &Reader<'_>, root: &Node, config: &Config) -> Vec<Scenario> {
    let section = Section::of(reader, "a scenario file", root, Suite::KEYS);
    let help = "scenarios: [{name: what it tells, expect: {outcome: accepted}}]";
    let nodes = items(&section, help).iter();
    nodes.filter_map(|node| read_one(reader, root, node, config)).collect()
}

/// One scenario: what it says goes before what the file says for all of them.
fn read_one(reader: &Reader<'_>, root: &Node, node: &Node, config: &Config) -> Option<Scenario> {
    let own = Section::of(reader, "a scenario", node, Suite::SCENARIO_KEYS);
    let name = own.required("name", "it tells what is shown: name: a listed client is refused");
    let node = merged(reader, root, node);
    let section = Section::part(reader, "a scenario", &node, Suite::SCENARIO_KEYS);
    let inquiry = given::read(&section, config);
    let expected = Expected::read(&section, config);
    Some(Scenario {
        name: name?.text.to_owned(),
        place: reader.place(name?.mark),
        inquiry,
        expected,
    })
}

#[cfg(test)]
mod tests;
