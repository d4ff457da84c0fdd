//! Labels beyond ASCII as DNS has them (RFC 3492).

/// The A-label of a label in small letters; none if it is too long to be one.
pub fn encode(label: &str) -> Option<String> {
    let code: Vec<u32> = label.chars().map(u32::from).collect();
    if code.len() > LONGEST {
        return None;
    }
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut done) = (128u32, 0u32, 72u32, basic);
    while (done as usize) < code.len() {
        let next = code.iter().copied().filter(|point| *point >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(done + 1)?)?;
        n = next;
        for point in &code {
            if *point < n {
                delta = delta.checked_add(1)?;
            } else if *point == n {
                write_number(delta, bias, &mut out);
                bias = adapt(delta, done + 1, done == basic);
                (delta, done) = (0, done + 1);
            }
        }
        (delta, n) = (delta.checked_add(1)?, n + 1);
    }
    (out.len() + PREFIX.len() <= LONGEST).then(|| format!("{PREFIX}{out}"))
}

fn write_number(delta: u32, bias: u32, out: &mut String) {
    let (mut q, mut k) = (delta, BASE);
    loop {
        let t = k.saturating_sub(bias).clamp(1, 26);
        if q < t {
            return out.push(digit(q));
        }
        out.push(digit(t + (q - t) % (BASE - t)));
        q = (q - t) / (BASE - t);
        k += BASE;
    }
}

fn digit(value: u32) -> char {
    char::from_digit(if value < 26 { value + 10 } else { value - 26 }, BASE).unwrap_or('a')
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= BASE - 1;
        k += BASE;
    }
    k + BASE * delta / (delta + 38)
}

const BASE: u32 = 36;
const PREFIX: &str = "xn--";
const LONGEST: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_the_rfc_does() {
        for (label, encoded) in [
            ("b\u{fc}cher", "xn--bcher-kva"),
            ("m\u{fc}nchen", "xn--mnchen-3ya"),
            (
                "\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}",
                "xn--ihqwcrb4cv8a8dqg056pqjye",
            ),
            ("\u{430}\u{440}\u{440}\u{4cf}\u{435}", "xn--80ak6aa92e"),
            ("3\u{5e74}b\u{7d44}\u{91d1}\u{516b}\u{5148}\u{751f}", "xn--3b-ww4c5e180e575a65lsy2b"),
            ("\u{1f4a9}", "xn--ls8h"),
        ] {
            assert_eq!(encode(label).as_deref(), Some(encoded));
        }
        assert_eq!(encode(&"\u{fc}".repeat(64)), None);
    }
}
