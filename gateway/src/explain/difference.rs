//! What changed, line by line, safe for a terminal.

use similar::TextDiff;

use crate::message::Content;

/// The difference between two texts, as a unified diff with little around it.
pub(super) fn of(old: &[u8], new: &[u8]) -> String {
    let (old, new) = (printable(old), printable(new));
    let diff = TextDiff::from_lines(&old, &new);
    let told = diff.unified_diff().context_radius(CONTEXT).to_string();
    bounded(&told)
}

/// The same of bodies, and only the sizes of what is long.
pub(super) fn of_contents(old: &Content, new: &Content) -> String {
    let (before, after) = (old.octets(), new.octets());
    if before > OCTETS || after > OCTETS {
        return format!("{before} octets -> {after} octets\n");
    }
    of(&octets(old), &octets(new))
}

/// What there is of a content up to the bound.
pub(super) fn octets(content: &Content) -> Vec<u8> {
    let most = usize::try_from(content.octets().min(OCTETS)).unwrap_or_default();
    let mut octets = vec![0; most];
    let mut read = 0;
    while read < most {
        match content.read_at(read as u64, &mut octets[read..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    octets.truncate(read);
    octets
}

/// Text with LF at the ends of lines, in which nothing moves a cursor.
pub(super) fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "\n");
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if harmless(c) && !turns(c) { c } else { '\u{fffd}' }).collect()
}

fn bounded(told: &str) -> String {
    let count = told.lines().count();
    if count <= LINES {
        return told.to_owned();
    }
    let first: String = told.split_inclusive('\n').take(LINES).collect();
    format!("{first}... and {} lines more\n", count - LINES)
}

/// Lines that stay, around what changed.
const CONTEXT: usize = 1;

/// Lines of one diff: more than a person reads.
const LINES: usize = 200;

/// Octets of a body that is looked at line by line.
const OCTETS: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changed_and_a_line_around_it() {
        let told = of(b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n", b"A: 1\r\nB: 2\r\nC: x\r\nD: 4\r\n");
        assert_eq!(told, "@@ -2,3 +2,3 @@\n B: 2\n-C: 3\n+C: x\n D: 4\n");
    }

    #[test]
    fn what_terminals_obey_is_not_shown() {
        let told = of(b"", "A: \u{1b}[2J\u{202e}\r\n".as_bytes());
        assert!(told.ends_with("+A: \u{fffd}[2J\u{fffd}\n"), "{told:?}");
    }

    #[test]
    fn of_what_is_long_there_is_the_beginning() {
        let told = of(b"", "x\r\n".repeat(1_000).as_bytes());
        assert_eq!(told.lines().count(), LINES + 1);
        assert!(told.ends_with("... and 801 lines more\n"), "{told}");
        let long = Content::from_bytes(vec![b'x'; OCTETS as usize + 1]);
        let told = of_contents(&Content::from_bytes(b"x".to_vec()), &long);
        assert_eq!(told, "1 octets -> 65537 octets\n");
    }
}
