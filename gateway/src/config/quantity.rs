//! Sizes and durations as people write them.

use std::time::Duration;

/// Reads `10MiB`, `50 MB` or plain octets.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let digits: u64 = number.parse().map_err(|_| SIZE_HELP.to_owned())?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        other => {
            return Err(near_unit(
                number,
                other,
                &["kB", "KiB", "MB", "MiB", "GB", "GiB"],
                SIZE_HELP,
            ));
        }
    };
    digits.checked_mul(factor).ok_or_else(|| SIZE_HELP.to_owned())
}

/// Reads `250ms`, `30s`, `5m`, `1h`. A number without a unit is a guess waiting to go wrong.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let digits: u64 = number.parse().map_err(|_| DURATION_HELP.to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(digits),
        "s" => digits.checked_mul(1000),
        "m" => digits.checked_mul(60_000),
        "h" => digits.checked_mul(3_600_000),
        "" => return Err(format!("a duration needs a unit; did you mean \"{number}s\"?")),
        other => return Err(near_unit(number, other, &["ms", "s", "m", "h"], DURATION_HELP)),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| DURATION_HELP.to_owned())
}

/// A size in the largest unit that fits.
pub(super) fn show_size(octets: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    units
        .into_iter()
        .find(|(factor, _)| octets >= *factor && octets.is_multiple_of(*factor))
        .map_or_else(|| octets.to_string(), |(factor, unit)| format!("{}{unit}", octets / factor))
}

/// A duration in the largest unit that fits.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    units
        .into_iter()
        .find(|(factor, _)| milliseconds >= *factor && milliseconds.is_multiple_of(*factor))
        .map_or_else(
            || format!("{milliseconds}ms"),
            |(factor, unit)| format!("{}{unit}", milliseconds / factor),
        )
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `10mib`, `5min`, `30 seconds`: the unit that must have been meant.
fn near_unit(number: &str, unit: &str, units: &[&str], otherwise: &str) -> String {
    let lower = unit.to_lowercase();
    let long = [("sec", "s"), ("min", "m"), ("hour", "h"), ("hr", "h"), ("milli", "ms")];
    let meant = long.into_iter().find(|(word, _)| lower.starts_with(word)).map(|(_, unit)| unit);
    let meant = meant
        .or_else(|| units.iter().copied().find(|known| known.to_lowercase() == lower))
        .or(match lower.as_str() {
            "k" => Some("KiB"),
            "m" => Some("MiB"),
            "g" => Some("GiB"),
            _ => None,
        })
        .filter(|meant| units.contains(meant));
    meant.map_or_else(|| otherwise.to_owned(), |meant| format!("did you mean \"{number}{meant}\"?"))
}

const SIZE_HELP: &str =
    "a size is a number of octets, or a number with kB, KiB, MB, MiB, GB or GiB, such as 50MiB";
const DURATION_HELP: &str = "a duration is a number with ms, s, m or h, such as 30s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(size("2000"), Ok(2000));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("50 MB"), Ok(50_000_000));
        assert!(size("10mib").unwrap_err().contains("10MiB"));
        assert!(size("10M").unwrap_err().contains("10MiB"));
        assert!(size("99999999999GiB").is_err());
        assert!(size("-1").is_err());
        assert!(size("1.5MiB").is_err());
    }

    #[test]
    fn durations_are_read_with_a_unit_only() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert!(duration("30").unwrap_err().contains("\"30s\""));
        assert!(duration("5min").unwrap_err().contains("\"5m\""));
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("9999999999999999999h").is_err());
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for octets in [0, 1, 1023, 1024, 50 << 20, 3 << 30] {
            assert_eq!(size(&show_size(octets)), Ok(octets));
        }
        for milliseconds in [0, 1, 250, 1000, 90_000, 300_000, 7_200_000] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(duration(&show_duration(time)), Ok(time));
        }
    }
}
