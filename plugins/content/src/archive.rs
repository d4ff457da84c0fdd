//! What an archive says that it holds. Nothing is unpacked.

mod rar;
mod seven_zip;
mod tar;
mod zip;

use crate::kind::Kind;
use crate::name;
use crate::source::Source;

/// Names and facts. What cannot be read is told as a fact, too: the list is never the last word.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) names: Vec<String>,
    /// At least one entry, or the list itself, is encrypted.
    pub(crate) encrypted: bool,
    /// What comes out is out of all proportion, or entries share their octets.
    pub(crate) bomb: bool,
    /// Two readers of this archive may see different things.
    pub(crate) ambiguous: bool,
    /// There may be more than is listed.
    pub(crate) partial: bool,
}

impl Listing {
    /// Of an archive of this kind; `outer` is the name of the part.
    pub(crate) fn of(kind: Kind, outer: &str, source: &mut Source<'_>, most: usize) -> Self {
        let mut listing = Self::default();
        match kind {
            Kind::Zip => zip::list(source, &mut listing, most),
            Kind::Rar => rar::list(source, &mut listing, most),
            Kind::Tar => tar::list(source, &mut listing, most),
            Kind::SevenZip => seven_zip::list(source, &mut listing, most),
            Kind::Gzip => gzip(source, &mut listing, outer),
            Kind::Compressed => listing.names.push(name::stem(outer).to_owned()),
            _ => listing.partial = true,
        }
        listing
    }

    /// Whether there was room for one more.
    fn push(&mut self, name: String, most: usize) -> bool {
        if self.names.len() >= most {
            self.partial = true;
            return false;
        }
        self.names.push(name);
        true
    }
}

/// RFC 1952. Its name, where it has one, is that of the file within.
fn gzip(source: &mut Source<'_>, listing: &mut Listing, outer: &str) {
    let head = source.read(0, 1024);
    let flags = head.get(3).copied().unwrap_or_default();
    let mut at = 10;
    if flags & 4 != 0 {
        let extra = head.get(10..12).map_or(0, |length| u16::from_le_bytes([length[0], length[1]]));
        at += 2 + usize::from(extra);
    }
    if flags & 8 != 0
        && let Some(end) = head.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0))
    {
        listing.names.push(text(&head[at..at + end]));
    }
    let inner = name::stem(outer);
    if !inner.is_empty() && inner != outer {
        listing.names.push(inner.to_owned());
    }
}

/// Names in archives have no encoding to rely on.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(NAME)]).into_owned()
}

/// Of a name, in octets.
const NAME: usize = 1024;

#[cfg(test)]
mod tests;
