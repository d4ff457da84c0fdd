//! Where a listener is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::section::{Reader, Section, Text};

/// Where a listener is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenerAddress {
    /// In a network.
    Ip(SocketAddr),
    /// On this machine.
    Unix(UnixSocket),
    /// Wherever systemd says: the `FileDescriptorName=` of the sockets that it passes.
    Systemd(String),
}

/// A Unix socket, and who may connect to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnixSocket {
    /// Its file.
    pub path: PathBuf,
    /// The file's permissions.
    pub mode: u32,
    /// The file's group, if it is not that of the process.
    pub group: Option<u32>,
}

impl ListenerAddress {
    /// The port, where it is known.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// The IP address and port, where they are known.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Systemd(_) => None,
        }
    }

    /// Reads the address of a listener and what says who may connect there.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let given = section.required("address", ADDRESS_HELP)?;
        let (mode, group) = Self::read_owners(section, SOCKET_MODE, EVERYONE);
        let unix = given.text.strip_prefix("unix:");
        if unix.is_some() {
            section.by_default("socket_mode", "0660");
        }
        for key in ["socket_group", "socket_mode"] {
            if unix.is_none() && section.entry(key).is_some() {
                let help =
                    "for sockets that systemd passes, its unit says SocketMode= and SocketGroup=";
                let text = format!("\"{key}\" does nothing here: it is for Unix sockets");
                section.reader.warn(section.mark_of(key), text, Some(help));
            }
        }
        if let Some(path) = unix {
            let path = read_path(section.reader, given, path)?;
            return Some(Self::Unix(UnixSocket { path, mode, group }));
        }
        match given.text.strip_prefix("systemd:") {
            Some(name) => read_name(section.reader, given, name).map(Self::Systemd),
            None => read_ip(section.reader, given, ADDRESS_HELP).map(Self::Ip),
        }
    }

    /// Reads who may connect to the Unix sockets of a section; the danger is what it is if everybody
    /// may.
    pub(super) fn read_owners(
        section: &Section<'_>,
        default: u32,
        danger: &str,
    ) -> (u32, Option<u32>) {
        let mode = read_mode(section, default, danger);
        (mode, section.text("socket_group").and_then(|text| read_group(section, text)))
    }
}

impl fmt::Display for ListenerAddress {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(socket) => write!(f, "unix:{}", socket.path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

pub(super) fn read_path(
    reader: &Reader<'_>,
    Text { text, mark }: Text<'_>,
    path: &str,
) -> Option<PathBuf> {
    if path.is_empty() || path.ends_with('/') {
        let help = "unix: and the file of the socket, such as unix:/run/portcullis/lmtp.sock";
        reader.error(mark, format!("\"{text}\" names no file"), Some(help));
        return None;
    }
    let path = reader.path(path);
    if path.as_os_str().len() > PATH_OCTETS {
        let text = format!("\"{}\" is too long for a socket", path.display());
        let help = format!("the system takes {PATH_OCTETS} octets at most");
        reader.error(mark, text, Some(&help));
        return None;
    }
    Some(path)
}

/// What systemd takes as a name (systemd.socket(5), `FileDescriptorName=`).
fn read_name(reader: &Reader<'_>, Text { text, mark }: Text<'_>, name: &str) -> Option<String> {
    let fit = |octet: u8| octet.is_ascii_graphic() && octet != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(fit) {
        return Some(name.to_owned());
    }
    let help = "the FileDescriptorName= of the socket unit, such as systemd:smtp; without one, it \
                is the unit's own name, such as systemd:portcullis.socket";
    reader.error(mark, format!("\"{text}\" names no socket of systemd"), Some(help));
    None
}

fn read_mode(section: &Section<'_>, default: u32, danger: &str) -> u32 {
    let Some(Text { text, mark }) = section.text("socket_mode") else { return default };
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = digits.bytes().all(|octet| octet.is_ascii_digit());
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777);
    let Some(mode) = mode else {
        let help = "permissions in octal, such as 0660: user and group may connect";
        section.reader.error(mark, format!("\"socket_mode\" cannot be \"{text}\""), Some(help));
        return default;
    };
    if mode & 0o002 != 0 {
        let help = "0660, and \"socket_group\" for the group of those who may";
        section.reader.warn(mark, danger, Some(help));
    }
    mode
}

/// A group by its number or by its name in /etc/group.
fn read_group(section: &Section<'_>, Text { text, mark }: Text<'_>) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let groups = std::fs::read_to_string(GROUPS).unwrap_or_default();
    // group(5): name, password, number, members.
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(text)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    if number.is_none() {
        let help = "a group of another source than /etc/group is given by its number";
        section.reader.error(mark, format!("{GROUPS} has no group \"{text}\""), Some(help));
    }
    number
}

/// Reads an IP address and a port.
pub(super) fn read_ip(
    reader: &Reader<'_>,
    Text { text, mark }: Text<'_>,
    expected: &str,
) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.rsplit_once(':') {
        _ if text.parse::<u16>().is_ok() => format!("did you mean \"127.0.0.1:{text}\"?"),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("did you mean \"[{text}]:25\"?"),
        _ if text.parse::<std::net::Ipv4Addr>().is_ok() => format!("did you mean \"{text}:25\"?"),
        Some(("localhost", port)) => format!("did you mean \"127.0.0.1:{port}\"?"),
        Some(("" | "*", port)) => {
            format!("did you mean \"[::]:{port}\" (every address) or \"127.0.0.1:{port}\"?")
        }
        _ => expected.to_owned(),
    };
    reader.error(mark, format!("\"{text}\" is no address to listen at"), Some(&help));
    None
}

const ADDRESS_HELP: &str = "an IP address and a port, such as 192.0.2.1:25 or [::]:25; a Unix socket, such as \
     unix:/run/portcullis/lmtp.sock; or systemd:NAME for a socket that systemd passes";

/// User and group may connect.
const SOCKET_MODE: u32 = 0o660;
const EVERYONE: &str = "every user of this machine can send mail through this socket";
/// unix(7): 108 octets with the zero at the end.
const PATH_OCTETS: usize = 107;
const GROUPS: &str = "/etc/group";
