//! Metrics that a plugin names itself, within bounds: a plugin may be fed by the whole world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Names of one plugin: enough for any filter, too few to hurt the one who scrapes.
const NAMES: usize = 64;

/// Label values of one name.
const LABEL_VALUES: usize = 32;

/// Octets of a name, a label or a label's value.
const NAME_OCTETS: usize = 64;

/// Plugins count milliseconds as well as megabytes, so each bucket is ten times the one before.
const BUCKETS: [f64; 11] = [0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// What one plugin counts.
#[derive(Debug)]
pub(super) struct Custom {
    plugin: String,
    registry: Registry,
    dropped: IntCounter,
    metrics: Mutex<BTreeMap<String, Metric>>,
}

#[derive(Debug)]
enum Metric {
    Counter(IntCounter),
    Histogram(Histogram),
    Labelled { label: String, values: BTreeSet<String>, family: IntCounterVec },
}

impl Custom {
    pub(super) fn new(plugin: &str, registry: Registry, dropped: IntCounter) -> Self {
        Self { plugin: plugin.to_owned(), registry, dropped, metrics: Mutex::new(BTreeMap::new()) }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, name: &str, by: u64, label: Option<(&str, &str)>) {
        if self.try_add(name, by, label).is_none() {
            self.dropped.inc();
        }
    }

    /// Adds to a histogram.
    pub(super) fn observe(&self, name: &str, value: f64) {
        if self.try_observe(name, value).is_none() {
            self.dropped.inc();
        }
    }

    fn try_add(&self, name: &str, by: u64, label: Option<(&str, &str)>) -> Option<()> {
        let name = counter_name(name)?;
        let make = || match label {
            None => self.new_counter(&name),
            Some((label, _)) => self.new_labelled(&name, label),
        };
        self.with_metric(&name, make, |metric| match (metric, label) {
            (Metric::Counter(counter), None) => {
                counter.inc_by(by);
                Some(())
            }
            (Metric::Labelled { label, values, family }, Some((key, value))) if label == key => {
                if !values.contains(value) {
                    if values.len() == LABEL_VALUES || !is_label_value(value) {
                        return None;
                    }
                    values.insert(value.to_owned());
                }
                family.with_label_values(&[value]).inc_by(by);
                Some(())
            }
            // A family whose members have different labels cannot be summed.
            _ => None,
        })
    }

    fn try_observe(&self, name: &str, value: f64) -> Option<()> {
        // One NaN would stay in the sum for ever.
        if !value.is_finite() {
            return None;
        }
        let name = histogram_name(name)?;
        self.with_metric(
            &name,
            || self.new_histogram(&name),
            |metric| match metric {
                Metric::Histogram(histogram) => {
                    histogram.observe(value);
                    Some(())
                }
                Metric::Counter(_) | Metric::Labelled { .. } => None,
            },
        )
    }

    fn with_metric(
        &self,
        name: &str,
        make: impl FnOnce() -> Option<Metric>,
        use_it: impl FnOnce(&mut Metric) -> Option<()>,
    ) -> Option<()> {
        // A map that a panic left behind is still a map.
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metric) = metrics.get_mut(name) {
            return use_it(metric);
        }
        if metrics.len() == NAMES {
            return None;
        }
        use_it(metrics.entry(name.to_owned()).or_insert(make()?))
    }

    // Registration fails where the name is one of the gateway's own or another plugin's with other
    // labels. Then it is dropped.

    fn new_counter(&self, name: &str) -> Option<Metric> {
        let counter = IntCounter::with_opts(self.options(name)).ok()?;
        self.registry.register(Box::new(counter.clone())).ok()?;
        Some(Metric::Counter(counter))
    }

    fn new_labelled(&self, name: &str, label: &str) -> Option<Metric> {
        if !is_label(label) {
            return None;
        }
        let family = IntCounterVec::new(self.options(name), &[label]).ok()?;
        self.registry.register(Box::new(family.clone())).ok()?;
        Some(Metric::Labelled { label: label.to_owned(), values: BTreeSet::new(), family })
    }

    fn new_histogram(&self, name: &str) -> Option<Metric> {
        let options = HistogramOpts::from(self.options(name)).buckets(BUCKETS.to_vec());
        let histogram = Histogram::with_opts(options).ok()?;
        self.registry.register(Box::new(histogram.clone())).ok()?;
        Some(Metric::Histogram(histogram))
    }

    /// The label keeps apart two plugins whose names differ only in what a metric's name cannot
    /// hold. The help is the same for both, as the format demands.
    fn options(&self, name: &str) -> Opts {
        let plugin = metric_words(&self.plugin);
        Opts::new(format!("portcullis_plugin_{plugin}_{name}"), "Told by the plugin")
            .const_label("plugin", &self.plugin)
    }
}

/// The plugin's name for a counter, with the suffix that it must have.
fn counter_name(name: &str) -> Option<String> {
    let name = valid_name(name)?;
    let stem = name.strip_suffix("_total").unwrap_or(&name);
    (!stem.is_empty()).then(|| format!("{stem}_total"))
}

/// The plugin's name for a histogram; not one that reads as part of another metric.
fn histogram_name(name: &str) -> Option<String> {
    let reserved = ["_bucket", "_count", "_sum", "_total"];
    valid_name(name).filter(|name| !reserved.iter().any(|suffix| name.ends_with(suffix)))
}

/// Lower case letters, digits, `_` and `-`, which becomes `_`; a letter first.
fn valid_name(name: &str) -> Option<String> {
    is_word(name).then(|| metric_words(name))
}

/// `plugin` is ours, `le` is the histogram's, `__` belongs to Prometheus; the others are refused by
/// the same rule as names.
fn is_label(label: &str) -> bool {
    is_word(label) && !label.contains('-') && !["plugin", "le", "quantile"].contains(&label)
}

fn is_label_value(value: &str) -> bool {
    value.len() <= NAME_OCTETS && !value.chars().any(char::is_control)
}

fn is_word(name: &str) -> bool {
    name.len() <= NAME_OCTETS
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

fn metric_words(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    struct Scene {
        registry: Registry,
        dropped: IntCounter,
        custom: Custom,
    }

    impl Scene {
        fn new() -> Self {
            let registry = Registry::new();
            let dropped = IntCounter::new("dropped", "For the test").unwrap();
            let custom = Custom::new("grey-list", registry.clone(), dropped.clone());
            Self { registry, dropped, custom }
        }

        fn render(&self) -> String {
            TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
        }
    }

    #[test]
    fn a_counter_bears_the_plugins_name_and_the_suffix_once() {
        let scene = Scene::new();
        scene.custom.add("seen", 2, None);
        scene.custom.add("seen_total", 3, None);
        let line = "portcullis_plugin_grey_list_seen_total{plugin=\"grey-list\"} 5\n";
        assert!(scene.render().contains(line), "{}", scene.render());
    }

    #[test]
    fn names_beyond_the_limit_are_dropped_and_counted() {
        let scene = Scene::new();
        for number in 0..1000 {
            scene.custom.add(&format!("name{number}"), 1, None);
        }
        assert_eq!(scene.dropped.get(), 1000 - NAMES as u64);
        assert_eq!(scene.registry.gather().len(), NAMES);
    }

    #[test]
    fn label_values_beyond_the_limit_are_dropped_and_counted() {
        let scene = Scene::new();
        for number in 0..1000 {
            scene.custom.add("senders", 1, Some(("sender", &format!("{number}@example.org"))));
        }
        scene.custom.add("senders", 1, Some(("sender", "0@example.org")));
        assert_eq!(scene.dropped.get(), 1000 - LABEL_VALUES as u64);
        assert_eq!(scene.registry.gather()[0].get_metric().len(), LABEL_VALUES);
    }

    #[test]
    fn invalid_names_are_dropped_and_counted() {
        let scene = Scene::new();
        let long = "x".repeat(NAME_OCTETS + 1);
        for name in ["", "Seen", "1st", "a b", "a\nb 1", "é", "_total", &long] {
            scene.custom.add(name, 1, None);
        }
        for label in ["", "le", "plugin", "__name__", "a\"b", &long] {
            scene.custom.add("labelled", 1, Some((label, "value")));
        }
        for value in ["a\nb", &long] {
            scene.custom.add("valued", 1, Some(("label", value)));
        }
        assert_eq!(scene.dropped.get(), 16);
        assert_eq!(scene.render(), "");
    }

    #[test]
    fn one_name_cannot_be_two_things() {
        let scene = Scene::new();
        scene.custom.add("seen", 1, None);
        scene.custom.add("seen", 1, Some(("by", "me")));
        scene.custom.observe("seen_total", 1.0);
        scene.custom.observe("size", 1.0);
        scene.custom.observe("size_count", 1.0);
        scene.custom.observe("size", f64::NAN);
        assert_eq!(scene.dropped.get(), 4);
    }

    #[test]
    fn a_name_of_the_gateway_itself_is_not_to_be_had() {
        let registry = Registry::new();
        let families = super::super::PluginFamilies::new(&registry);
        let plugin = families.resolve("metrics");
        plugin.add("dropped", 1, None);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("portcullis_plugin_metrics_dropped_total{plugin=\"metrics\"} 1\n"));
    }

    #[test]
    fn plugins_whose_names_differ_by_a_hyphen_are_kept_apart() {
        let scene = Scene::new();
        let other = Custom::new("grey_list", scene.registry.clone(), scene.dropped.clone());
        scene.custom.add("seen", 1, None);
        other.add("seen", 2, None);
        let text = scene.render();
        assert!(text.contains("{plugin=\"grey-list\"} 1\n"), "{text}");
        assert!(text.contains("{plugin=\"grey_list\"} 2\n"), "{text}");
    }
}
