//! Colour on a terminal, and none elsewhere.

use std::io::IsTerminal;

/// Whether to use colour.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

/// The colours.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "named for what they are")]
pub enum Colour {
    Blue,
    Bold,
    Green,
    Red,
    Yellow,
}

impl Paint {
    /// Colour if standard output is a terminal and nobody asked for none (no-color.org).
    #[must_use]
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        Self(forced || wanted && std::io::stdout().is_terminal())
    }

    /// No colour, wherever it goes.
    #[must_use]
    pub fn none() -> Self {
        Self(false)
    }

    /// The text in a colour.
    #[must_use]
    pub fn in_colour(self, colour: Colour, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Blue => "34",
            Colour::Bold => "1",
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Yellow => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
