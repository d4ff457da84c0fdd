//! What peers said, on a terminal.

/// The same text with nothing in it that a terminal would obey, and that ends no line.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_control() || turns_text_around(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Marks of direction, and what ends a line in some eyes.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{7}\u{feff}é";
        let shown = printable(hostile);
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}b\u{fffd}\u{fffd}é");
    }
}
