//! Dates with times (RFC 3339 section 5.6), by their syntax and arithmetic alone.

/// A point in time as a parameter says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DateTime {
    text: String,
    /// Since the epoch.
    seconds: i64,
}

impl DateTime {
    /// Reads an RFC 3339 `date-time`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let (date, time) = text.split_once('T')?;
        let zone = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at(zone);
        let seconds = days(date)? * 86_400 + seconds(time)? - offset(zone)?;
        Some(Self { text, seconds })
    }

    /// As it was written, its letters in capitals.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Seconds since the epoch, fractions cut off.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }
}

/// Exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// `full-date`, as days since the epoch.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=longest).contains(&day) {
        return None;
    }
    // Counted from a first of March, so that the day that comes and goes is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH)
}

/// `partial-time`.
fn seconds(time: &str) -> Option<i64> {
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let fits = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    // Finer than a nanosecond is somebody who tries something.
    let fraction = (1..=9).contains(&fraction.len()) && number(fraction, fraction.len()).is_some();
    (fits && fraction).then_some(hour * 3600 + minute * 60 + second)
}

/// `time-offset`.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.get(..1)? {
        "Z" => return (zone.len() == 1).then_some(0),
        "+" => 1,
        _ => -1,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// From the first of March of the year 0 to the first of January 1970, in days.
const EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_with_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2014-04-03T23:01:00Z", 1_396_566_060),
            ("2000-02-29t12:00:00.123z", 951_825_600),
            ("2020-03-19T11:13:00+01:30", 1_584_610_980),
            ("2020-03-19T11:13:00-01:30", 1_584_621_780),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("0000-03-01T00:00:00Z", -62_162_035_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let read = DateTime::parse(text).expect(text);
            assert_eq!(read.seconds(), seconds, "{text}");
            assert_eq!(read.as_str(), text.to_ascii_uppercase());
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "T",
            "2014-04-03",
            "23:01:00Z",
            "2014-04-03T23:01:00",
            "2014-04-03 23:01:00Z",
            "2014-04-03T23:01Z",
            "2014-4-3T23:01:00Z",
            "2014-02-29T00:00:00Z",
            "2014-13-01T00:00:00Z",
            "2014-00-01T00:00:00Z",
            "2014-04-31T00:00:00Z",
            "2014-04-00T00:00:00Z",
            "2014-04-03T24:00:00Z",
            "2014-04-03T23:60:00Z",
            "2014-04-03T23:01:61Z",
            "2014-04-03T23:01:00.Z",
            "2014-04-03T23:01:00.1234567890Z",
            "2014-04-03T23:01:00ZZ",
            "2014-04-03T23:01:00+1:00",
            "2014-04-03T23:01:00+24:00",
            "2014-04-03T23:01:00+01",
            "2014-04-03T23:01:00+01:60",
            "2014-04-03T+3:01:00Z",
            "2014-04-03-01T23:01:00Z",
            "2014-04-03T23:01:00:00Z",
            "+014-04-03T23:01:00Z",
            "2014-04-03T23:01:00\u{661}Z",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text:?}");
        }
    }
}
