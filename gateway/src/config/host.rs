//! What the machine says where the file says nothing.

use std::net::IpAddr;
use std::path::PathBuf;

use super::names;
use super::section::{Section, Text};

/// The gateway's own name.
pub(super) fn name(section: &Section<'_>) -> String {
    match section.text("hostname") {
        Some(Text { text, mark }) => {
            if !names::is_domain(text) && !is_literal(text) {
                let help = names::domain_help(text);
                section.reader.error(mark, format!("\"{text}\" is no host name"), Some(&help));
            } else if !text.contains('.') && !is_literal(text) {
                section.reader.warn(mark, format!("\"{text}\" {UNQUALIFIED}"), Some(FQDN_HELP));
            }
            text.to_owned()
        }
        None => {
            let name = system_name(section);
            section.by_system("hostname", &*name, "the name of this machine");
            name
        }
    }
}

fn system_name(section: &Section<'_>) -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if section.entry("hostname").is_some() {
        return name;
    }
    if !names::is_domain(&name) {
        let text = format!("this machine is called \"{name}\", which is no host name");
        section.reader.error(section.mark, text, Some(FQDN_HELP));
    } else if !name.contains('.') {
        let text = format!("this machine is called \"{name}\", which {UNQUALIFIED}");
        section.reader.warn(section.mark, text, Some(FQDN_HELP));
    }
    name
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
fn is_literal(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.is_some_and(|bare| match bare.strip_prefix("IPv6:") {
        Some(address) => address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()),
        None => bare.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()),
    })
}

/// Where this user's caches are, for a configuration that does not say it.
pub(super) fn cache(section: &Section<'_>) -> PathBuf {
    let directory = cache_directory();
    let what = "CACHE_DIRECTORY, XDG_CACHE_HOME or HOME in the environment";
    section.by_system("cache_directory", directory.to_string_lossy(), what);
    directory
}

/// Where this user's caches are: what systemd says (`CacheDirectory=`), then XDG, then the
/// machine's.
#[must_use]
pub fn cache_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let from_systemd = variable("CACHE_DIRECTORY").map(PathBuf::from);
    let from_xdg = || variable("XDG_CACHE_HOME").map(|path| PathBuf::from(path).join("portcullis"));
    let from_home = || variable("HOME").map(|path| PathBuf::from(path).join(".cache/portcullis"));
    from_systemd
        .or_else(from_xdg)
        .or_else(from_home)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| "/var/cache/portcullis".into())
}

const UNQUALIFIED: &str = "is not fully qualified; some servers refuse it in EHLO";
const FQDN_HELP: &str = "hostname: the name that DNS has for this machine, such as mx.example.org";
