//! All that is wrong with a configuration, however much of it that is.

use std::collections::BTreeSet;
use std::path::Path;

use super::tree::{Node, Value};
use super::{Admin, Config, Decoded, Mistakes, Target, decode, lock, lock_file, octets, read_lock};

/// What a configuration file says, and what is wrong with it.
#[derive(Debug)]
pub struct Survey {
    /// All of it if nothing is wrong; else the parts that can be looked at further by themselves, which
    /// must not be served. None if it is no YAML.
    pub config: Option<Config>,
    /// The mistakes of the file and of its lock file.
    pub mistakes: Mistakes,
}

/// Reads a configuration file as [`load`](super::load) does, and goes on after mistakes, so that what
/// its other parts name can be looked at, too.
#[must_use]
pub fn survey(path: &Path) -> Survey {
    let decoded = octets(path).and_then(|octets| decode(path, octets));
    let (mut config, mut mistakes, root) = match decoded {
        Ok(decoded) => (decoded.config, decoded.mistakes, decoded.root),
        Err(mistakes) => return Survey { config: None, mistakes },
    };
    match read_lock(&lock_file(path)) {
        Ok(Some(locked)) => lock::pin(path, &locked, &mut config, &mut mistakes),
        Ok(None) => {}
        Err(more) => more.iter().for_each(|mistake| mistakes.push(mistake.clone())),
    }
    if mistakes.is_empty() {
        lock::warn_of_unpinned(&mut config);
    } else {
        sound(&mut config, &root, &mistakes);
    }
    Survey { config: Some(config), mistakes }
}

/// Where the gateway of a configuration is asked, whatever else is wrong with the file: a mistake that has
/// just been made is no reason not to look at what runs.
///
/// # Errors
/// The mistakes, if `admin` is not in the file or has one of them.
pub fn admin_of(path: &Path) -> Result<Admin, Mistakes> {
    let Decoded { config, mistakes, root } =
        octets(path).and_then(|octets| decode(path, octets))?;
    let Value::Mapping(entries) = &root.value else {
        return mistakes.or_fail().map(|()| config.admin);
    };
    let is_sound = |lines: std::ops::RangeInclusive<usize>| {
        !mistakes.iter().any(|mistake| lines.contains(&mistake.place.line))
    };
    let sound = entries.iter().any(|(key, value)| {
        matches!(&key.value, Value::Scalar { text, .. } if text == "admin")
            && is_sound(*key.lines().start()..=*value.lines().end())
    });
    if sound { Ok(config.admin) } else { mistakes.or_fail().map(|()| config.admin) }
}

/// Leaves those parts in that have no mistake and refer to none: what is said of the others would be
/// a consequence and no mistake of its own.
fn sound(config: &mut Config, root: &Node, mistakes: &Mistakes) {
    let flawed = |node: &Node| {
        let lines = node.lines();
        mistakes.iter().any(|mistake| lines.contains(&mistake.place.line))
    };
    let unsound = flawed_items(root, "plugins", flawed);
    let mut seen = BTreeSet::new();
    config.plugins.retain(|one| !unsound.contains(&one.name) && seen.insert(one.name.clone()));
    let mut seen = BTreeSet::new();
    config.listeners.retain(|one| seen.insert(one.name.clone()));
    let hurt = flawed_items(root, "listeners", flawed);
    let known = |name: &String| config.plugins.iter().any(|plugin| plugin.name == *name);
    let upstreams = &config.upstreams;
    for listener in &mut config.listeners {
        let complete = listener.plugins.iter().all(known);
        listener.plugins.retain(known);
        if !complete || hurt.contains(&listener.name) {
            listener.auth = None;
        }
        for upstream in [&mut listener.upstream, &mut listener.quarantine] {
            upstream.take_if(|name| !upstreams.contains_key(name));
        }
    }
    config.default_upstream.take_if(|name| !upstreams.contains_key(name));
    config.routes.retain(
        |route| matches!(&route.target, Target::Upstream(name) if upstreams.contains_key(name)),
    );
    for plugin in &mut config.plugins {
        plugin.stores.retain(|name| config.stores.contains_key(name));
        plugin.upstreams.retain(|name| upstreams.contains_key(name));
    }
}

/// The names of those items of a list that have a mistake.
fn flawed_items(root: &Node, list: &str, flawed: impl Fn(&Node) -> bool) -> BTreeSet<String> {
    let Value::Mapping(entries) = &root.value else { return BTreeSet::new() };
    let is_it = |key: &Node| matches!(&key.value, Value::Scalar { text, .. } if text == list);
    let items =
        entries.iter().filter(|(key, _)| is_it(key)).flat_map(|(_, value)| match &value.value {
            Value::Sequence(items) => &items[..],
            _ => &[],
        });
    items
        .filter(|item| flawed(item))
        .filter_map(super::names::declared)
        .map(|name| name.text.to_owned())
        .collect()
}
