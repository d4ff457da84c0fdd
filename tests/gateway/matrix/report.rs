//! What was seen, as a table.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;

use portcullis_tests::repository;

use super::cell::{Cell, Client, Delivery};
use super::expected::{Fate, REPORTED};
use super::play::Seen;

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.heard;
        let [c, d] = self.copies.map(|copies| match copies {
            REPORTED => "r".to_owned(),
            copies => copies.to_string(),
        });
        write!(f, "{a}{b}:{c}{d}")
    }
}

/// Writes `target/fault-matrix.md`.
pub(super) fn write(seen: &[(Cell, Seen)]) {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut cells: BTreeMap<(String, String, &str), String> = BTreeMap::new();
    for (cell, seen) in seen {
        let row = (cell.place.row(), cell.place.fault.to_string());
        if !rows.contains(&row) {
            rows.push(row.clone());
        }
        cells.insert((row.0, row.1, column(cell)), seen.fate.to_string());
    }
    let mut text = String::from(
        "# The fault matrix\n\n\
         What a client heard of its two recipients (2xx, 4xx, 5xx), and how often the next hop got the message\n\
         for each: `24:10` is a yes and the message once for the first, a 4xx and no message for the second;\n\
         `r` is a report to the sender. From the spool each fault strikes once.\n\n",
    );
    let _ = writeln!(text, "| stage | fault | {} |", COLUMNS.join(" | "));
    let _ = writeln!(text, "| --- | --- |{}", " --- |".repeat(COLUMNS.len()));
    for (stage, fault) in rows {
        let seen = COLUMNS.map(|column| {
            let key = (stage.clone(), fault.clone(), column);
            cells.get(&key).map_or("", String::as_str)
        });
        let _ = writeln!(text, "| {stage} | {fault} | {} |", seen.join(" | "));
    }
    let file = repository().join("target/fault-matrix.md");
    fs::create_dir_all(file.parent().expect("a folder")).expect("target can be made");
    fs::write(file, text).expect("target takes a file");
}

fn column(cell: &Cell) -> &'static str {
    let from = usize::from(cell.client == Client::Lmtp);
    let to = usize::from(cell.place.lmtp);
    COLUMNS[4 * usize::from(cell.delivery == Delivery::Spool) + 2 * from + to]
}

/// From, to.
const COLUMNS: [&str; 8] = [
    "SMTP to SMTP",
    "SMTP to LMTP",
    "LMTP to SMTP",
    "LMTP to LMTP",
    "SMTP by spool to SMTP",
    "SMTP by spool to LMTP",
    "LMTP by spool to SMTP",
    "LMTP by spool to LMTP",
];
