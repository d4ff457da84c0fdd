//! Content in which nothing has to be changed, found in strides: most of every message.

/// Looks for runs of plain octets in one piece of content, as long as that pays.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Before here there is nothing to be found.
    from: usize,
}

impl Runs {
    /// How many octets of `piece` from `at` on are plain; `at` never goes back.
    pub(crate) fn at(&mut self, at: usize, piece: &[u8]) -> usize {
        if at < self.from {
            return 0;
        }
        let run = prefix(&piece[at..]);
        // What ended it lies within the next stride.
        self.from = at + run + STRIDE;
        run
    }
}

/// How many octets at the start are plain: each CR stands before an LF and each LF behind a CR, no
/// line begins with a dot, none is a NUL, and the last of them is no CR. What follows is for others to
/// judge octet by octet; so is the first octet, before which anything may have come.
///
/// The strides have no branches, so that the compiler does many octets at once.
fn prefix(octets: &[u8]) -> usize {
    if matches!(octets.first(), Some(b'\n' | 0)) {
        return 0;
    }
    let mut end = 0;
    while let Some(pairs) = octets.get(end..=end + STRIDE) {
        let (firsts, seconds) = (&pairs[..STRIDE], &pairs[1..]);
        let odd = firsts.iter().zip(seconds).fold(0, |odd, (&first, &second)| {
            let alone = u8::from(first == b'\r') ^ u8::from(second == b'\n');
            let dot = u8::from(first == b'\n') & u8::from(second == b'.');
            odd | alone | dot | u8::from(second == 0)
        });
        if odd != 0 {
            break;
        }
        end += STRIDE;
    }
    match octets[..end].last() {
        Some(b'\r') => end - 1,
        _ => end,
    }
}

/// A few lines: what is not plain costs no more than these.
const STRIDE: usize = 256;

/// Content of ordinary lines, some of which are not.
#[cfg(test)]
pub(crate) fn odd_lines() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let line = "[a-z .]{0,90}".prop_map(|text| format!("{text}\r\n"));
    let odd = proptest::sample::select(vec!["\r", "\n", "\0", ".", "\r\n.\r", "\n\0.", "\0\0.\n"]);
    let piece = prop_oneof![20 => line, 1 => odd.prop_map(str::to_owned)];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_are_passed_over_up_to_what_is_not() {
        let line = "a line of some length, as they are\r\n";
        let text = line.repeat(100);
        let end = prefix(text.as_bytes());
        assert!(end > text.len() - STRIDE - 2 && end < text.len());
        for odd in ["\r", "\n", "\r\n.", "\r\n\0", "\n\r", "\r\r\n", "\n.", "x\0y", "x\ny", "x\ry"]
        {
            for place in [40, STRIDE - 2, STRIDE - 1, STRIDE, STRIDE + 1, 1000] {
                let mut octets = text.clone().into_bytes();
                let place = place - place % line.len() + 3;
                octets.splice(place..place, odd.bytes());
                let found = prefix(&octets);
                assert!(found < place + odd.len(), "{odd:?} at {place}: {found}");
            }
        }
    }

    #[test]
    fn a_run_never_ends_between_cr_and_lf() {
        for shift in 0..STRIDE + 3 {
            let text = format!("{}\r\n{}", "x".repeat(shift), "y".repeat(3 * STRIDE));
            let end = prefix(text.as_bytes());
            assert_ne!(text.as_bytes()[..end].last(), Some(&b'\r'), "{shift}");
            assert!(end >= STRIDE - 1 || shift < 1, "{shift}: {end}");
        }
        assert_eq!(prefix(b"\n"), 0);
        assert_eq!(prefix(b""), 0);
    }
}
