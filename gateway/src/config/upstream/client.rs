//! What upstreams are told of the client whose mail they get.

use crate::config::reading::Shape;
use crate::config::section::Section;
use crate::config::tree::Value;

/// What an upstream is told of the client whose mail it gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UpstreamClient {
    /// XCLIENT: it treats the gateway as if it were the client.
    pub xclient: bool,
    /// XFORWARD: its log names the client.
    pub xforward: bool,
}

impl UpstreamClient {
    pub(super) fn read(upstream: &Section<'_>) -> Self {
        upstream.shaped("client", Shape::OneOrList);
        upstream.by_default("client", "none");
        let words = match upstream.entry("client") {
            None => return Self::default(),
            Some(entry) if matches!(entry.node.value, Value::Sequence(_)) => {
                upstream.words("client").unwrap_or_default()
            }
            Some(_) => upstream.text("client").into_iter().collect(),
        };
        let several = words.len() > 1;
        let mut told = Self::default();
        for word in words {
            match upstream.chosen("client", word, WAYS) {
                Some(Way::Xclient) => told.xclient = true,
                Some(Way::Xforward) => told.xforward = true,
                Some(Way::None) if several => {
                    let text = "\"none\" is nothing beside others";
                    upstream.reader.error(word.mark, text, Some("leave it out"));
                }
                Some(Way::None) | None => {}
            }
        }
        told
    }
}

#[derive(Clone, Copy)]
enum Way {
    None,
    Xclient,
    Xforward,
}

const WAYS: &[(&str, Way)] =
    &[("none", Way::None), ("xclient", Way::Xclient), ("xforward", Way::Xforward)];
