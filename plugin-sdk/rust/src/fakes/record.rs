//! What a plugin logged and counted, for this thread and so for this test.

use std::cell::RefCell;

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static COUNTED: RefCell<Vec<(String, Option<String>, u64)>> = const { RefCell::new(Vec::new()) };
}

/// The lines that were logged so far, as `level text name=value …`.
pub fn logged() -> Vec<String> {
    LOGGED.with_borrow(Clone::clone)
}

/// How far a counter has come; with its label's value, or over all of them.
pub fn counted(name: &str, label: Option<&str>) -> u64 {
    COUNTED.with_borrow(|counted| {
        let matching = counted.iter().filter(|(known, value, _)| {
            known == name && (label.is_none() || value.as_deref() == label)
        });
        matching.map(|(_, _, by)| by).sum()
    })
}

pub(crate) mod log {
    use crate::log::Level;

    pub(crate) fn enabled(_: Level) -> bool {
        true
    }

    pub(crate) fn write(at: Level, text: &str, fields: &[(String, String)]) {
        let mut line = format!("{at:?} {text}").replacen("Level::", "", 1).to_lowercase();
        line.truncate(line.len() - text.len());
        line.push_str(text);
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
        }
        eprintln!("{line}");
        super::LOGGED.with_borrow_mut(|logged| logged.push(line));
    }
}

pub(crate) mod metrics {
    pub(crate) fn add(name: &str, by: u64, label: Option<(&str, &str)>) {
        let value = label.map(|(_, value)| value.to_owned());
        super::COUNTED.with_borrow_mut(|counted| counted.push((name.to_owned(), value, by)));
    }

    pub(crate) fn observe(_: &str, _: f64) {}
}
