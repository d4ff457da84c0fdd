//! Whether the addresses of a configuration can be listened at, for `portcullis check`.
//!
//! They are bound and let go at once. Where somebody listens already, that is most likely the gateway whose
//! configuration this is to become: it is asked at its admin address, and what it has is no mistake.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::admin::Client;
use crate::config::{self, AdminAddress, Config, ListenerAddress, Mistakes, Place};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) mistakes: Mistakes,
    pub(super) notes: Vec<String>,
}

/// A gateway that answers at the admin address.
struct Running {
    admin: String,
    /// Where it says that it listens; none if it does not say.
    addresses: Option<Vec<String>>,
}

/// Tries all addresses.
pub(super) async fn examine(config: &Config) -> Found {
    let mut found = Found::default();
    let running = Running::ask(config).await;
    for listener in &config.listeners {
        let (name, place) = (&listener.name, &listener.place);
        match &listener.address {
            ListenerAddress::Ip(address) => found.ip(name, *address, place, running.as_ref()),
            ListenerAddress::Unix(socket) => found.unix(&socket.path, place, running.as_ref()),
            ListenerAddress::Systemd(socket) => found.notes.push(format!(
                "\"{name}\" listens at the sockets that systemd passes as \"{socket}\""
            )),
        }
    }
    for AdminAddress { at, place } in config.admin.addresses.iter().chain(&config.admin.metrics) {
        match at {
            ListenerAddress::Ip(address) => found.ip("admin", *address, place, running.as_ref()),
            ListenerAddress::Unix(socket) => found.unix(&socket.path, place, running.as_ref()),
            ListenerAddress::Systemd(_) => {}
        }
    }
    found
}

impl Running {
    async fn ask(config: &Config) -> Option<Self> {
        let client = Client::of(&config.admin).ok()?;
        let answer = timeout(PATIENCE, client.look("/api/config")).await.ok()?.ok()?;
        let entries = serde_json::from_str(&answer.1).ok();
        let entries = entries.as_ref().and_then(config::effective_entries);
        let addresses = entries.map(|entries| {
            let is_one = |entry: &&config::EffectiveEntry| {
                entry.key.ends_with(".address") && entry.key.starts_with("listeners[")
                    || ["admin.address", "admin.metrics"]
                        .iter()
                        .any(|key| entry.key.starts_with(key))
            };
            let texts = |entry: &config::EffectiveEntry| {
                let all = entry.value.as_array().cloned();
                let all = all.unwrap_or_else(|| vec![entry.value.clone()]);
                all.into_iter()
                    .filter_map(|one| one.as_str().map(str::to_owned))
                    .collect::<Vec<_>>()
            };
            entries.iter().filter(is_one).flat_map(texts).collect()
        });
        Some(Self { admin: client.to_string(), addresses })
    }
}

impl Found {
    fn ip(&mut self, name: &str, address: SocketAddr, place: &Place, running: Option<&Running>) {
        let Err(error) = TcpListener::bind(address) else { return };
        let (text, help) = match error.kind() {
            ErrorKind::AddrInUse => return self.in_use(&address.to_string(), place, running),
            ErrorKind::PermissionDenied => (
                format!("nobody but root may listen at port {}", address.port()),
                "let systemd open the socket (\"address: systemd:NAME\") or give the gateway the \
                 capability: AmbientCapabilities=CAP_NET_BIND_SERVICE in its unit; or check as the user \
                 that runs it",
            ),
            ErrorKind::AddrNotAvailable => (
                format!("this machine has no address {}", address.ip()),
                "\"ip address\" lists those that it has; [::] is all of them",
            ),
            _ => {
                let text = format!("cannot listen at {address} ({name}): {error}");
                return self.mistakes.at(place, text, None);
            }
        };
        self.mistakes.at(place, text, Some(help));
    }

    fn unix(&mut self, path: &Path, place: &Place, running: Option<&Running>) {
        if UnixStream::connect(path).is_ok() {
            return self.in_use(&format!("unix:{}", path.display()), place, running);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or_else(|| Path::new("."));
        if let Err(error) = tempfile::tempfile_in(folder) {
            let text = format!("no socket can be made in {}: {error}", folder.display());
            let help = "the folder has to be there, and the gateway's to write; RuntimeDirectory= in \
                        its unit makes one in /run";
            self.mistakes.at(place, text, Some(help));
        }
    }

    fn in_use(&mut self, address: &str, place: &Place, running: Option<&Running>) {
        let known = running.and_then(|running| running.addresses.as_ref());
        match (running, known) {
            (Some(running), Some(addresses)) if is_among(address, addresses) => {
                let admin = &running.admin;
                self.notes.push(format!(
                    "the gateway that runs (it answers at {admin}) listens at {address}, as it should"
                ));
            }
            (Some(running), None) => {
                let text = format!("somebody listens at {address} already");
                let help = format!(
                    "most likely the gateway that answers at {}, and all is well",
                    running.admin
                );
                self.mistakes.warn(place, text, Some(&help));
            }
            (running, _) => {
                let text = format!("somebody else listens at {address}");
                let help = match running {
                    Some(running) => format!(
                        "and not the gateway that answers at {}: \"ss -ltnp\" tells who",
                        running.admin
                    ),
                    None => {
                        "\"ss -ltnp\" tells who; no gateway answers at the admin address".into()
                    }
                };
                self.mistakes.at(place, text, Some(&help));
            }
        }
    }
}

/// Unix sockets may be written relative to the configuration, or not.
fn is_among(address: &str, addresses: &[String]) -> bool {
    addresses.iter().any(|known| {
        known == address
            || known.strip_prefix("unix:").is_some_and(|path| {
                address.ends_with(path.trim_start_matches("./")) && address.starts_with("unix:")
            })
    })
}

/// For a gateway on this machine to answer.
const PATIENCE: Duration = Duration::from_secs(2);
