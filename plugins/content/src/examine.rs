//! One part after the other: the name, the first octets, and what these ask for.

use portcullis_plugin::{Message, Part};

use crate::archive::Listing;
use crate::check::Check;
use crate::claim;
use crate::findings::Findings;
use crate::kind::{HEAD, Kind};
use crate::markup;
use crate::name::{self, Promise};
use crate::ole::Ole;
use crate::settings::{Extensions, Limits};
use crate::source::{Budget, Source};

/// What extensions promise.
#[derive(Debug)]
pub(crate) struct Promises {
    program: Vec<String>,
    script: Vec<String>,
    risky: Vec<String>,
}

impl Promises {
    pub(crate) fn new(settings: Extensions) -> Self {
        let list = |own: Option<Vec<String>>, built_in: &[&str]| match own {
            Some(own) => {
                own.iter().map(|one| one.trim_start_matches('.').to_ascii_lowercase()).collect()
            }
            None => built_in.iter().map(ToString::to_string).collect(),
        };
        Self {
            program: list(settings.program, name::PROGRAMS),
            script: list(settings.script, name::SCRIPTS),
            risky: list(settings.risky, name::RISKY),
        }
    }

    fn of(&self, extension: &str) -> Option<Promise> {
        let known = |list: &[String]| list.iter().any(|one| one == extension);
        if extension.is_empty() {
            None
        } else if known(&self.program) {
            Some(Promise::Program)
        } else if known(&self.script) {
            Some(Promise::Script)
        } else {
            known(&self.risky).then_some(Promise::Risky)
        }
    }
}

/// One part that was looked at.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) part: &'a Part,
    pub(crate) kind: Kind,
    /// Of an archive.
    pub(crate) names: Vec<String>,
}

impl Seen<'_> {
    /// As far as the sender told one.
    pub(crate) fn name(&self) -> &str {
        self.part.file_name.as_deref().unwrap_or_default()
    }
}

/// Looks at the parts of one message.
#[derive(Debug)]
pub(crate) struct Examiner<'a> {
    pub(crate) message: &'a Message,
    pub(crate) promises: &'a Promises,
    pub(crate) limits: &'a Limits,
    pub(crate) budget: Budget,
}

impl<'a> Examiner<'a> {
    /// What is worth a look, and what is wrong with the structure.
    pub(crate) fn worthwhile<'p>(
        &self,
        parts: &'p [Part],
        findings: &mut Findings,
    ) -> impl Iterator<Item = &'p Part> + use<'p, 'a> {
        let leaf = |(place, part): (usize, &Part)| {
            let child = parts.get(place + 1).is_some_and(|next| next.parent == Some(part.index));
            part.content_type.starts_with("multipart/") && !child
        };
        if parts.iter().enumerate().any(leaf) {
            findings.of_message(Check::BrokenMime);
        }
        let worth = || parts.iter().filter(|part| is_worth_a_look(part));
        if parts.len() >= MOST_PARTS || worth().count() > self.limits.parts {
            findings.of_message(Check::TooManyParts);
        }
        worth().take(self.limits.parts)
    }

    /// What it is: the first octets tell, and the list of names of an archive.
    pub(crate) fn see<'p>(&self, part: &'p Part, findings: &mut Findings) -> Seen<'p> {
        let mut source = Source::new(self.message, part.index, part.size, &self.budget);
        let mut kind = Kind::of(&source.head(part, HEAD));
        // The first 32 KiB of an ISO image are for whoever wants them.
        if kind == Kind::Unknown && part.size > 32_774 && source.read(32_769, 5) == b"CD001" {
            kind = Kind::DiskImage;
        }
        let mut seen = Seen { part, kind, names: Vec::new() };
        if kind.is_archive() {
            self.list(&mut seen, &mut source, findings);
        }
        self.look_within(&seen, &mut source, findings);
        seen
    }

    fn list(&self, seen: &mut Seen<'_>, source: &mut Source<'_>, findings: &mut Findings) {
        let (index, name) = (seen.part.index, seen.name().to_owned());
        let listing = Listing::of(seen.kind, &name, source, self.limits.entries);
        for (holds, check) in [
            (listing.encrypted, Check::EncryptedArchive),
            (listing.bomb, Check::ArchiveBomb),
            (listing.ambiguous, Check::AmbiguousArchive),
            (listing.partial, Check::UnlistedArchive),
        ] {
            if holds {
                findings.of_part(check, index, &name);
            }
        }
        seen.names = listing.names;
    }

    fn look_within(&self, seen: &Seen<'_>, source: &mut Source<'_>, findings: &mut Findings) {
        let (index, name) = (seen.part.index, seen.name());
        let mut automatic = true;
        if seen.kind == Kind::Ole {
            let ole = Ole::of(source);
            automatic = ole.macros;
            for (holds, check) in [
                (ole.installer, Check::Program),
                (ole.macros, Check::Macros),
                (ole.encrypted, Check::EncryptedDocument),
                (ole.embedded, Check::Embedded),
            ] {
                if holds {
                    findings.of_part(check, index, name);
                }
            }
        }
        let extension = name::extension(name);
        let page = matches!(extension.as_str(), "htm" | "html" | "shtml" | "xhtml" | "mht")
            || seen.part.content_type == "text/html";
        let kind = if page && seen.kind == Kind::Text { Kind::Html } else { seen.kind };
        if automatic && let Some(check) = markup::finding(kind, source, self.limits.search.0) {
            findings.of_part(check, index, name);
        }
    }

    /// What the built-in checks say of a part.
    pub(crate) fn check(&self, seen: &Seen<'_>, findings: &mut Findings) {
        let (index, name, declared) = (seen.part.index, seen.name(), &seen.part.content_type);
        let extension = name::extension(name);
        let promise =
            self.promises.of(&extension).filter(|_| extension != "com" || is_com(seen, declared));
        let disguised = name::is_disguised(name, promise.is_some());
        let program = matches!(seen.kind, Kind::Program | Kind::Shortcut);
        let risky = matches!(seen.kind, Kind::DiskImage | Kind::OneNote | Kind::OldArchive);
        for (holds, check) in [
            (program || promise == Some(Promise::Program), Check::Program),
            (promise == Some(Promise::Script), Check::Script),
            (seen.kind == Kind::UnixScript, Check::UnixScript),
            (risky || promise == Some(Promise::Risky), Check::Risky),
            (disguised, Check::Disguised),
            (claim::is_false(&extension, declared, seen.kind), Check::Mismatch),
        ] {
            if holds {
                findings.of_part(check, index, name);
            }
        }
        self.check_names(seen, findings);
    }

    fn check_names(&self, seen: &Seen<'_>, findings: &mut Findings) {
        let (index, outer) = (seen.part.index, seen.name());
        let shown = |inner: &str| format!("{outer}: {inner}");
        let single = matches!(seen.kind, Kind::Gzip | Kind::Compressed);
        for inner in &seen.names {
            let extension = name::extension(inner);
            // Folders are called like sites, and programs bring libraries.
            let promise = self.promises.of(&extension).filter(|_| extension != "com");
            let script = promise == Some(Promise::Script) && seen.names.len() <= HARDLY_MORE;
            let nested = name::is_archive(&extension) && !(single && extension == "tar");
            for (holds, check) in
                [(is_macro(inner), Check::Macros), (is_embedded(inner), Check::Embedded)]
            {
                if holds {
                    findings.of_part(check, index, outer);
                }
            }
            for (holds, check) in [
                (promise == Some(Promise::Program), Check::ProgramInArchive),
                (script, Check::ScriptInArchive),
                (name::is_disguised(inner, promise.is_some()), Check::Disguised),
                (nested, Check::NestedArchive),
            ] {
                if holds {
                    findings.of_part(check, index, &shown(inner));
                }
            }
        }
    }
}

/// Texts to be read, and what only holds other parts, are no attachments.
fn is_worth_a_look(part: &Part) -> bool {
    let kind = part.content_type.as_str();
    let text = kind.starts_with("text/")
        && part.file_name.is_none()
        && part.disposition.as_deref() != Some("attachment");
    !text && !kind.starts_with("multipart/") && !kind.starts_with("message/")
}

/// Not every name that ends in `.com` is meant for DOS.
fn is_com(seen: &Seen<'_>, declared: &str) -> bool {
    match seen.kind {
        Kind::Program | Kind::Unknown | Kind::UnixScript => true,
        Kind::Text => !declared.starts_with("text/"),
        _ => false,
    }
}

/// Office Open XML and OpenDocument.
fn is_macro(inner: &str) -> bool {
    inner.ends_with("vbaProject.bin")
        || inner.starts_with("xl/macrosheets/")
        || (inner.starts_with("Basic/") && inner.ends_with(".xml"))
}

fn is_embedded(inner: &str) -> bool {
    inner.contains("/embeddings/oleObject")
}

/// The gateway lists no more.
const MOST_PARTS: usize = 1_000;
/// A script that comes alone, or with a picture and a text, wants to be run.
const HARDLY_MORE: usize = 3;
