//! Routes in a file of their own: a pattern and an upstream a line, read again when it changes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::{Mistakes, Place};
use super::pattern::{Pattern, fitting};
use super::{quantity, spelling};

/// Where a map is, and what may stand in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MapFile {
    /// The file.
    pub path: PathBuf,
    /// The upstreams that there are.
    pub upstreams: Arc<[Arc<str>]>,
    /// Where patterns go that stand alone: a place in `upstreams`.
    pub fallback: Option<usize>,
}

/// A map as it was read.
#[derive(Debug)]
pub struct Map {
    path: PathBuf,
    upstreams: Arc<[Arc<str>]>,
    entries: HashMap<Box<str>, Target>,
    stamp: Stamp,
}

/// Where a pattern goes, and where it says so.
#[derive(Clone, Copy, Debug)]
struct Target {
    upstream: u32,
    line: u32,
}

/// What a map says of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MapEntry<'a> {
    /// What fits.
    pub pattern: &'a str,
    /// A name from `upstreams`.
    pub upstream: &'a str,
    /// Counted from 1.
    pub line: usize,
}

/// What tells that a file is not the one that was read. None where it cannot be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    /// Of a file as it is now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let of = |file: fs::Metadata| {
            (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())
        };
        Self(fs::metadata(path).ok().map(of))
    }
}

impl MapFile {
    /// Reads the map, and tells all that is wrong with it.
    ///
    /// # Errors
    ///
    /// All mistakes, but for those that nobody would read to the end of.
    pub fn read(&self) -> Result<Map, Mistakes> {
        let mut mistakes = Mistakes::default();
        // Before the file is read: what changes meanwhile is read again.
        let stamp = Stamp::of(&self.path);
        let entries = match octets(&self.path) {
            Ok(octets) => Lines::new(self, &mut mistakes).read(&octets),
            Err(text) => {
                mistakes.at(&Place::file(&self.path), text, None);
                HashMap::new()
            }
        };
        mistakes.or_fail()?;
        let (path, upstreams) = (self.path.clone(), self.upstreams.clone());
        Ok(Map { path, upstreams, entries, stamp })
    }
}

impl Map {
    /// The most specific entry for an address, given as patterns are compared with it.
    #[must_use]
    pub fn entry<'a>(&'a self, key: &str) -> Option<MapEntry<'a>> {
        fitting(key).find_map(|pattern| {
            let (pattern, target) = self.entries.get_key_value(pattern)?;
            Some(MapEntry {
                pattern,
                upstream: self.upstreams.get(target.upstream as usize)?,
                line: target.line as usize,
            })
        })
    }

    /// Its patterns with their lines, in no order.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (&str, usize)> {
        self.entries.iter().map(|(pattern, target)| (&**pattern, target.line as usize))
    }

    /// Whether anything goes to this upstream.
    pub(super) fn names(&self, upstream: &str) -> bool {
        let place = self.upstreams.iter().position(|name| &**name == upstream);
        place.is_some_and(|place| {
            self.entries.values().any(|target| target.upstream as usize == place)
        })
    }

    /// Whether it has an entry for every address.
    pub(super) fn is_complete(&self) -> bool {
        self.entries.contains_key("*")
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none; [`MapFile::read`] refuses that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells whether the file has changed since.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// The lines of a map while it is read.
struct Lines<'a> {
    file: &'a MapFile,
    places: HashMap<&'a str, u32>,
    mistakes: &'a mut Mistakes,
    entries: HashMap<Box<str>, Target>,
    untold: usize,
}

impl<'a> Lines<'a> {
    fn new(file: &'a MapFile, mistakes: &'a mut Mistakes) -> Self {
        let places = file.upstreams.iter().zip(0..).map(|(name, at)| (&**name, at)).collect();
        Self { file, places, mistakes, entries: HashMap::new(), untold: 0 }
    }

    fn read(mut self, octets: &[u8]) -> HashMap<Box<str>, Target> {
        for (index, line) in octets.split(|octet| *octet == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match std::str::from_utf8(line) {
                Ok(line) => self.line(index + 1, line),
                Err(error) => {
                    let shown = String::from_utf8_lossy(line);
                    let good = String::from_utf8_lossy(&line[..error.valid_up_to()]);
                    let column = good.chars().count();
                    self.error(index + 1, &shown, column..column + 1, "not UTF-8", NOT_UTF_8);
                }
            }
        }
        if self.untold > 0 {
            let text = format!("{} more mistakes in this map", self.untold);
            self.mistakes.at(&Place::file(&self.file.path), text, None);
        }
        if self.entries.is_empty() && self.mistakes.is_empty() {
            let text = "there is no entry in this map";
            self.mistakes.at(&Place::file(&self.file.path), text, Some(EMPTY));
        }
        self.entries
    }

    fn line(&mut self, number: usize, line: &str) {
        let content = line.trim_end();
        if content.is_empty() || content.trim_start().starts_with('#') {
            return;
        }
        if content.starts_with(char::is_whitespace) {
            let text = "an entry begins with white space";
            return self.error(number, line, 0..1, text, CONTINUED);
        }
        let end = end_of_pattern(content);
        let (pattern, value) = (&content[..end], content[end..].trim_start());
        let width = |text: &str| text.chars().count();
        let value_at = width(content) - width(value);
        let read = Pattern::address(pattern).map_err(|help| {
            let text = format!("\"{pattern}\" is no pattern for recipients");
            self.error(number, line, 0..width(pattern), &text, &help);
        });
        let upstream = self.upstream(number, line, value, value_at..value_at + width(value));
        let (Ok(pattern), Some(upstream)) = (read, upstream) else { return };
        let target = Target { upstream, line: u32::try_from(number).unwrap_or(u32::MAX) };
        match self.entries.entry(pattern.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(target);
            }
            Entry::Occupied(first) => {
                let text = format!("there are two entries for \"{}\"", first.key());
                let help = format!("the first one is in line {}", first.get().line);
                self.error(number, line, 0..end, &text, &help);
            }
        }
    }

    fn upstream(
        &mut self,
        number: usize,
        line: &str,
        value: &str,
        range: std::ops::Range<usize>,
    ) -> Option<u32> {
        if value.is_empty() {
            let fallback = self.file.fallback.and_then(|place| u32::try_from(place).ok());
            if fallback.is_none() {
                let text = "there is no upstream behind the pattern";
                self.error(number, line, range.start..range.start + 1, text, NO_UPSTREAM);
            }
            return fallback;
        }
        if value.contains(char::is_whitespace) {
            let text = "there is more than a pattern and an upstream";
            self.error(number, line, range, text, "comments stand in lines of their own");
            return None;
        }
        let known = self.places.get(value).copied();
        if known.is_none() {
            let text = format!("there is no upstream \"{value}\"");
            let help = spelling::help(value, self.file.upstreams.iter().map(|name| &**name));
            self.error(number, line, range, &text, &help);
        }
        known
    }

    fn error(
        &mut self,
        line: usize,
        excerpt: &str,
        range: std::ops::Range<usize>,
        text: &str,
        help: &str,
    ) {
        if self.mistakes.len() >= MISTAKES {
            self.untold += 1;
            return;
        }
        let place = Place {
            file: self.file.path.clone(),
            line,
            column: range.start + 1,
            width: range.len(),
            excerpt: excerpt.to_owned(),
        };
        self.mistakes.at(&place, text, Some(help));
    }
}

/// Where the pattern ends: at white space outside quotes.
fn end_of_pattern(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.find(|c: char| {
        let found = c.is_whitespace() && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        found
    });
    end.unwrap_or(text.len())
}

fn octets(path: &Path) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(MAP_OCTETS + 1).read_to_end(&mut octets))
        .map_err(|error| format!("cannot read the map: {error}"))?;
    if read as u64 > MAP_OCTETS {
        return Err(format!("the map is larger than {}", quantity::show_size(MAP_OCTETS)));
    }
    Ok(octets)
}

const CONTINUED: &str = "one entry a line, from its first column on; there are no continued lines";
const EMPTY: &str = "a file that was cut short must not change where all mail goes; leave the route out \
                     if it is meant so";
const NOT_UTF_8: &str = "save the file as UTF-8";
const NO_UPSTREAM: &str = "a pattern, white space, and one of \"upstreams\"; or give the route an \"upstream\" for all \
     patterns that stand alone";

/// Two million domains: more than anybody hosts, and little enough to be read by mistake.
const MAP_OCTETS: u64 = 64 << 20;
/// Mistakes of one map that are told: more than anybody mends before looking again.
const MISTAKES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, fallback: Option<usize>) -> (tempfile::TempDir, MapFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("map");
        fs::write(&path, text).expect("a file");
        (folder, MapFile { path, upstreams: ["one".into(), "two".into()].into(), fallback })
    }

    fn told(text: &str) -> Vec<String> {
        let (_folder, file) = file(text, None);
        let mistakes = file.read().expect_err("a map with mistakes");
        let told = |mistake: &super::super::Mistake| {
            format!("{}:{}: {}", mistake.place.line, mistake.place.column, mistake.text)
        };
        mistakes.iter().map(told).collect()
    }

    #[test]
    fn the_most_specific_entry_counts_wherever_it_stands() {
        let text = "# a comment\n\n*\tone\n.example two\r\nb.example   one\n  # another\n\
                    Alice@b.example two\n\"a b\"@b.example\ttwo\n";
        let (_folder, file) = file(text, None);
        let map = file.read().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        for (key, pattern, upstream, line) in [
            ("alice@b.example", "alice@b.example", "two", 7),
            ("bob@b.example", "b.example", "one", 5),
            ("bob@a.b.example", ".example", "two", 4),
            ("a b@b.example", "a b@b.example", "two", 8),
            ("bob@example", "*", "one", 3),
        ] {
            assert_eq!(map.entry(key), Some(MapEntry { pattern, upstream, line }), "{key}");
        }
        assert_eq!(map.len(), 6 - 1);
    }

    #[test]
    fn patterns_that_stand_alone_go_where_the_route_says() {
        let (_folder, file) = file("a.example\nb.example one\n", Some(1));
        let map = file.read().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(map.entry("x@a.example").map(|entry| entry.upstream), Some("two"));
        assert_eq!(map.entry("x@b.example").map(|entry| entry.upstream), Some("one"));
        assert_eq!(map.entry("x@c.example"), None);
    }

    #[test]
    fn all_mistakes_are_told_each_with_its_place() {
        let text = "a.example one\n a.example one\n*.b.example one\nc.example\nd.example tow\n\
                    A.Example two\ne.example smtp:[mx.example]\nf.example one two\n";
        let want = [
            "2:1: an entry begins with white space",
            "3:1: \"*.b.example\" is no pattern for recipients",
            "4:10: there is no upstream behind the pattern",
            "5:11: there is no upstream \"tow\"",
            "6:1: there are two entries for \"a.example\"",
            "7:11: there is no upstream \"smtp:[mx.example]\"",
            "8:11: there is more than a pattern and an upstream",
        ];
        assert_eq!(told(text), want);
        assert_eq!(told("# nothing\n"), ["0:0: there is no entry in this map"]);
    }

    #[test]
    fn a_map_of_mistakes_does_not_fill_the_log() {
        let told = told(&"x y z\n".repeat(1000));
        assert_eq!(told.len(), MISTAKES + 1);
        assert!(told.iter().any(|text| text == "0:0: 900 more mistakes in this map"), "{told:?}");
    }
}
