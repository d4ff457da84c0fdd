//! From the operator's `settings:` to the plugin's own type.

use serde::de::{DeserializeOwned, IgnoredAny};

/// Reads the settings; a mistake is told with its place, as in `deny.networks[2]: not a network`.
pub fn read<S: DeserializeOwned>(json: &str) -> Result<S, String> {
    let json = if is_nothing(json) { "{}" } else { json };
    let mut json = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let reason = reason(&error.into_inner());
        if path == "." { reason } else { format!("{path}: {reason}") }
    })
}

/// For a plugin without settings.
pub fn none(json: &str) -> Result<(), String> {
    let empty = is_nothing(json)
        || serde_json::from_str::<std::collections::BTreeMap<String, IgnoredAny>>(json)
            .is_ok_and(|settings| settings.is_empty());
    if empty { Ok(()) } else { Err("this plugin takes no settings".to_owned()) }
}

fn is_nothing(json: &str) -> bool {
    matches!(json.trim(), "" | "null")
}

/// Line and column count in JSON that the operator never wrote.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
