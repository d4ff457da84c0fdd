//! Metrics, as they are fetched; and what has changed between two times.

use std::collections::HashMap;

/// All samples of one fetch.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    samples: HashMap<String, Vec<Sample>>,
}

#[derive(Clone, Debug)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == Some(value))
    }
}

impl Scrape {
    /// Reads Prometheus' text format; what is none is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut samples: HashMap<String, Vec<Sample>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                samples.entry(name).or_default().push(sample);
            }
        }
        Self { samples }
    }

    fn of(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of all samples that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name).iter().filter(|sample| sample.has(labels)).map(|sample| sample.value).sum()
    }

    /// The values of a label, as they come.
    pub(super) fn values<'a>(&'a self, name: &str, label: &str) -> Vec<&'a str> {
        let mut values: Vec<&str> = Vec::new();
        for value in self.of(name).iter().filter_map(|sample| sample.label(label)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// The bounds of a histogram's buckets, each with the count of what is not larger.
    fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.of(&format!("{name}_bucket")).iter().filter(|one| one.has(labels)) {
            let bound = match sample.label("le") {
                Some("+Inf") => f64::INFINITY,
                Some(bound) => bound.parse().unwrap_or(f64::INFINITY),
                None => continue,
            };
            match buckets.iter_mut().find(|(own, _)| *own == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

/// What happened between two fetches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval<'a> {
    pub(super) before: &'a Scrape,
    pub(super) after: &'a Scrape,
    pub(super) seconds: f64,
}

impl Interval<'_> {
    /// How much a counter has grown in a second. One that was set back was so by a restart.
    pub(super) fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (before, after) = (self.before.sum(name, labels), self.after.sum(name, labels));
        let grown = if after < before { after } else { after - before };
        if self.seconds > 0.0 { grown / self.seconds } else { 0.0 }
    }

    /// The value that this part of what a histogram has seen does not exceed: of the interval or, if
    /// nothing happened in it, since the start. Within a bucket all values count as evenly spread.
    pub(super) fn quantile(&self, name: &str, labels: &[(&str, &str)], part: f64) -> Option<f64> {
        let after = self.after.buckets(name, labels);
        let before: HashMap<u64, f64> = self
            .before
            .buckets(name, labels)
            .into_iter()
            .map(|(bound, count)| (bound.to_bits(), count))
            .collect();
        let known = |bound: f64| before.get(&bound.to_bits()).copied().unwrap_or_default();
        let grown: Vec<_> =
            after.iter().map(|(bound, count)| (*bound, count - known(*bound))).collect();
        let nothing = grown.last().is_none_or(|(_, count)| *count <= 0.0);
        quantile(if nothing { &after } else { &grown }, part)
    }
}

fn quantile(buckets: &[(f64, f64)], part: f64) -> Option<f64> {
    let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = all * part;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank && *count > below {
            // Beyond the last bound nothing is known but that.
            let width = if bound.is_finite() { bound - low } else { 0.0 };
            return Some(low + width * ((rank - below) / (count - below)).clamp(0.0, 1.0));
        }
        (low, below) = (*bound, *count);
    }
    None
}

fn sample(line: &str) -> Option<(String, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = value.split_ascii_whitespace().next()?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    Some((name.to_owned(), Sample { labels, value }))
}

/// Labels up to their brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE calls counter
calls{plugin=\"a\",hook=\"mail\"} 5
calls{plugin=\"a\",hook=\"rcpt\"} 1
took_bucket{plugin=\"a\",le=\"0.1\"} 5
took_bucket{plugin=\"a\",le=\"1\"} 5
took_bucket{plugin=\"a\",le=\"+Inf\"} 5
up 1
";

    #[test]
    fn a_rate_is_what_has_come_in_a_second() {
        let before = Scrape::parse(BEFORE);
        let after = Scrape::parse(&BEFORE.replace("} 1\n", "} 11\n"));
        let interval = Interval { before: &before, after: &after, seconds: 2.0 };
        assert_eq!(interval.rate("calls", &[("plugin", "a")]), 5.0);
        assert_eq!(interval.rate("calls", &[("hook", "mail")]), 0.0);
        assert_eq!(interval.rate("nothing", &[]), 0.0);
        let restarted = Interval { before: &after, after: &before, seconds: 1.0 };
        assert_eq!(restarted.rate("calls", &[("hook", "rcpt")]), 1.0);
    }

    #[test]
    fn a_quantile_is_of_the_interval_or_where_that_is_empty_of_all() {
        let before = Scrape::parse(BEFORE);
        let same = Interval { before: &before, after: &before, seconds: 1.0 };
        assert_eq!(same.quantile("took", &[("plugin", "a")], 0.5), Some(0.05));
        let after = BEFORE
            .replace("le=\"1\"} 5", "le=\"1\"} 15")
            .replace("le=\"+Inf\"} 5", "le=\"+Inf\"} 15");
        let after = Scrape::parse(&after);
        let slow = Interval { before: &before, after: &after, seconds: 1.0 };
        assert_eq!(slow.quantile("took", &[], 0.5), Some(0.55));
        assert_eq!(slow.quantile("nothing", &[], 0.5), None);
    }

    #[test]
    fn labels_may_hold_anything() {
        let scrape = Scrape::parse("x{a=\"q\\\"}\\\\\\n\",b=\"c\"} 3\nbad{ 4\n");
        assert_eq!(scrape.values("x", "a"), ["q\"}\\\n"]);
        assert_eq!(scrape.sum("x", &[("b", "c")]), 3.0);
    }
}
