//! The page of all metrics, made from the metrics themselves: `gateway/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use portcullis_smtp::sasl::Mechanism;
use prometheus::proto::{MetricFamily, MetricType};

use super::{HOOKS, Metrics, Names, SpoolUse};

/// One metric, as it is told to people.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its whole name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it means; code is between backticks.
    pub help: String,
    /// Its labels, each with its values or what they are.
    pub labels: Vec<(String, String)>,
}

/// All metrics that the gateway has of itself, by name. What plugins count is not among them.
#[must_use]
pub fn reference() -> Vec<Entry> {
    everything().registry.gather().iter().map(entry).collect()
}

/// All metrics as a page in Markdown, with the alerts that look at them. Both are files of rules for
/// Prometheus.
#[must_use]
pub fn page(alerts: &str, recording: &str) -> String {
    let alerts = uses(alerts, recording);
    let mut sections: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
    for entry in reference() {
        sections.entry(section(&entry.name)).or_default().push(entry);
    }
    let mut page = INTRODUCTION.to_owned();
    for (section, entries) in sections {
        let (title, _) = SECTIONS[section];
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {title}\n\n{COLUMNS}");
        for entry in entries {
            let alerts = alerts.iter().filter(|(_, expression)| names(expression, &entry.name));
            let alerts: Vec<_> = alerts.map(|(alert, _)| link(alert)).collect();
            let labels = entry.labels.iter().map(|(label, values)| format!("`{label}`: {values}"));
            let labels: Vec<_> = labels.collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} | {} |",
                entry.name,
                entry.kind,
                labels.join("; "),
                unit(&entry.name),
                entry.help.replace('|', "\\|"),
                alerts.join(", "),
            );
        }
    }
    page.push_str(PLUGINS_OWN);
    page
}

/// Metrics with everything in them that has closed labels, and something of whatever has not.
fn everything() -> Metrics {
    let own = || vec!["x".to_owned()];
    let metrics = Metrics::new(&Names {
        listeners: own(),
        plugins: vec![("x".to_owned(), HOOKS.to_vec())],
        stores: own(),
        upstreams: own(),
    });
    metrics.watch_content(|| (0, 0));
    metrics.watch_copies(|| Some(0));
    metrics.watch_ready(|| true);
    metrics.watch_receipts(|| 0);
    metrics.spool().watch(SpoolUse::default);
    metrics.route_map_entries("x", 0);
    metrics.plugin("x").is_file("x");
    let listener = metrics.listener("x");
    listener.auth_offered(&Mechanism::ALL);
    listener.certificate_ends("x", 0);
    let upstream = metrics.upstream("x");
    upstream.addresses(own());
    for stage in <super::Stage as super::label::Label>::ALL {
        upstream.reply(*stage, 250);
    }
    metrics
}

fn entry(family: &MetricFamily) -> Entry {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
        labels.entry(pair.name()).or_default().insert(pair.value());
    }
    let told = |(label, values): (&str, BTreeSet<&str>)| {
        let open = OPEN.iter().find(|(open, _)| *open == label);
        let values = values.into_iter().collect::<Vec<_>>().join(", ");
        (label.to_owned(), open.map_or(values, |(_, what)| (*what).to_owned()))
    };
    Entry {
        name: family.name().to_owned(),
        kind: match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        },
        help: family.help().to_owned(),
        labels: labels.into_iter().map(told).collect(),
    }
}

fn unit(name: &str) -> &'static str {
    let stem = name.strip_suffix("_total").unwrap_or(name);
    match stem {
        _ if stem.ends_with("_timestamp_seconds") || stem.ends_with("_not_after_seconds") => "date",
        "process_start_time_seconds" => "date",
        _ if stem.ends_with("_seconds") => "seconds",
        _ if stem.ends_with("_bytes") => "octets",
        _ => "",
    }
}

fn section(name: &str) -> usize {
    let is_of = |(_, prefixes): &(&str, &[&str])| prefixes.iter().any(|it| name.starts_with(it));
    SECTIONS.iter().position(is_of).unwrap_or(0)
}

/// Each alert with its expression, and those of the recorded series in it.
fn uses(alerts: &str, recording: &str) -> Vec<(String, String)> {
    let recorded = rules(recording, "- record: ");
    let mut alerts = rules(alerts, "- alert: ");
    for (_, expression) in &mut alerts {
        // What is recorded may be made of what is recorded; not deeper than this.
        for _ in 0..2 {
            let inside: Vec<_> =
                recorded.iter().filter(|(name, _)| names(expression, name)).collect();
            for (_, more) in inside {
                expression.push_str(more);
            }
        }
    }
    alerts
}

/// Names and expressions of the rules in a file: whatever stands between a name and the next key
/// that is no expression.
fn rules(file: &str, start: &str) -> Vec<(String, String)> {
    let of_rule = |text: &str| {
        let (name, rest) = text.split_once('\n')?;
        let lines = rest.lines().take_while(|line| {
            let key = line.trim_start();
            !["for:", "labels:", "annotations:", "- name:"].iter().any(|it| key.starts_with(it))
        });
        Some((name.trim().to_owned(), lines.collect::<Vec<_>>().join("\n")))
    };
    file.split(start).skip(1).filter_map(of_rule).collect()
}

/// Whether an expression names a metric, or a part of it if it is a histogram.
fn names(expression: &str, metric: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut words = expression.split(|c| !part_of_name(c));
    words.any(|word| {
        let suffixes = ["", "_bucket", "_count", "_sum"];
        word.strip_prefix(metric).is_some_and(|suffix| suffixes.contains(&suffix))
    })
}

fn link(alert: &str) -> String {
    format!("[{alert}](../config/prometheus/README.md#{})", alert.to_lowercase())
}

/// Labels whose values are the operator's, or too many to be told one by one.
const OPEN: &[(&str, &str)] = &[
    ("address", "as the configuration has it"),
    ("certificate", "its file"),
    ("code", "200 to 599"),
    ("commit", "the source's, `unknown` in a build by hand"),
    ("listener", "its name"),
    ("map", "its file"),
    ("plugin", "its name"),
    ("rustc", "version"),
    ("rustls", "version"),
    ("sha256", "the first 12 digits of the file's digest"),
    ("store", "its name"),
    ("upstream", "its name"),
    ("version", "the gateway's"),
    ("wasmtime", "version"),
];

/// What belongs together, by how the names begin.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "The gateway",
        &[
            "portcullis_build",
            "portcullis_configuration",
            "portcullis_content",
            "portcullis_log",
            "portcullis_panics",
            "portcullis_ready",
            "portcullis_reloads",
            "portcullis_traces",
            "portcullis_worker",
        ],
    ),
    (
        "Sessions",
        &[
            "portcullis_auth",
            "portcullis_command",
            "portcullis_connections",
            "portcullis_delays",
            "portcullis_limit",
            "portcullis_proxy",
            "portcullis_received",
            "portcullis_replies",
            "portcullis_sent",
            "portcullis_session",
            "portcullis_tls",
        ],
    ),
    (
        "Transactions",
        &[
            "portcullis_duplicates",
            "portcullis_message",
            "portcullis_receipts",
            "portcullis_recipients",
            "portcullis_refusals",
            "portcullis_score",
            "portcullis_transaction",
        ],
    ),
    ("Plugins", &["portcullis_plugin"]),
    ("Stores", &["portcullis_store"]),
    ("Names", &["portcullis_dns"]),
    ("Routes", &["portcullis_route"]),
    ("Upstreams", &["portcullis_upstream"]),
    ("Spool and queue", &["portcullis_queue", "portcullis_spool"]),
    ("The process", &["process_"]),
];

const INTRODUCTION: &str = "\
<!-- Made from the code. To make it anew: PORTCULLIS_METRICS_PAGE=write cargo test -p portcullis --test labels -->
# Metrics

Whatever has a closed set of labels is there from the start, at zero; reply codes beyond the usual ones, and how long rare commands took at
upstreams, come up when they are first said. No label ever has a value that a peer gave: whatever the world sends adds no series.
[`config/prometheus`](../config/prometheus/README.md) has rules and alerts, [`config/grafana`](../config/grafana/README.md) a dashboard.
";

const COLUMNS: &str = "\
| metric | type | labels | unit | what | alerts |
| --- | --- | --- | --- | --- | --- |
";

const PLUGINS_OWN: &str = "
## What plugins count

| metric | type | labels | what |
| --- | --- | --- | --- |
| `portcullis_plugin_<plugin>_<name>_total` | counter | `plugin`, and one that the plugin names | counted by the plugin itself |
| `portcullis_plugin_<plugin>_<name>` | histogram | `plugin` | observed by the plugin itself |

It is bounded: 64 names, one label each, 32 values a label, 64 octets a name or value. Names are lower case letters, digits and `_`; `-` becomes
`_`; `_total` is added to counters. Buckets go from 0.0001 to 1,000,000 by tens.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_whole_words() {
        assert!(names("rate(portcullis_a_total[5m])", "portcullis_a_total"));
        assert!(names("portcullis_a_bucket{le=\"1\"}", "portcullis_a"));
        assert!(!names("portcullis_ab", "portcullis_a"));
        assert!(!names("job:portcullis_a", "portcullis_a"));
    }

    #[test]
    fn alerts_use_what_their_recorded_series_are_made_of() {
        let alerts = "  - alert: High\n    expr: |\n      portcullis:ratio > 1\n    for: 5m\n";
        let recording = "  - record: portcullis:ratio\n    expr: a_total / b_total\n";
        let uses = uses(alerts, recording);
        assert!(names(&uses[0].1, "a_total") && names(&uses[0].1, "b_total"));
        assert_eq!(uses[0].0, "High");
    }
}
