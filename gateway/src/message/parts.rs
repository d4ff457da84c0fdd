//! The MIME parts of a message (RFC 2045, RFC 2046), found once however many plugins ask.
//!
//! The body is read through and not held: what is kept is a list of where things are. A part's
//! content is decoded when somebody wants it. Every step takes time linear in the message, whatever
//! its sender made of it.

mod fields;
mod structure;
mod transfer;

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Budget, Content, ContentError, ContentWriter, HeaderSection, Lease};
use fields::{Fields, Form};
use structure::Found;
use transfer::Decoder;

/// One part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// The part that it is within, by its place in the list; none for the message itself.
    pub parent: Option<u32>,
    /// In small letters.
    pub content_type: String,
    /// As the part says, in small letters.
    pub charset: Option<String>,
    /// In small letters.
    pub disposition: Option<String>,
    /// Decoded, without control characters.
    pub file_name: Option<String>,
    /// Octets after decoding; 0 for a multipart.
    pub size: u64,
    /// Where its body starts in the body of the message, and how long it is there, still encoded.
    pub encoded: Option<(u64, u64)>,
}

/// All parts of a message, depth first.
#[derive(Debug)]
pub struct Parts {
    list: Vec<Held>,
    /// For what the list takes.
    _lease: Lease,
}

#[derive(Debug)]
struct Held {
    part: Part,
    /// None for a multipart.
    body: Option<Body>,
}

/// Where the content of a part is.
#[derive(Debug)]
struct Body {
    /// As it was sent.
    encoded: Content,
    form: Form,
    /// Decoded once somebody has asked for it.
    decoded: OnceCell<Content>,
}

impl Parts {
    /// Looks for the parts of a message.
    ///
    /// # Errors
    ///
    /// If the message cannot be read, or there is no room for a message within that is encoded.
    pub(super) async fn of(
        header: &HeaderSection,
        body: &Content,
        budget: &Arc<Budget>,
    ) -> Result<Self, ContentError> {
        let mut listing = Listing { list: Vec::new(), budget };
        let root = Fields::of(header, None);
        let source = Source { content: body, root: Some(root), parent: None, encodings: 0 };
        listing.add(source).await?;
        let mut lease = budget.header_lease();
        if !lease.resize(listing.list.iter().map(Held::memory_octets).sum()) {
            return Err(ContentError::BudgetSpent);
        }
        Ok(Self { list: listing.list, _lease: lease })
    }

    /// What is known of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Part> {
        self.list.iter().map(|held| &held.part)
    }

    /// The decoded content of a part: transfer encoding undone, text as UTF-8. None if there is no
    /// such part, or if it is a multipart.
    ///
    /// # Errors
    ///
    /// If the message cannot be read, or there is no room for what comes out.
    pub async fn content(
        &self,
        index: u32,
        budget: &Arc<Budget>,
    ) -> Result<Option<Content>, ContentError> {
        let body = self.list.get(index as usize).and_then(|held| held.body.as_ref());
        let Some(body) = body else { return Ok(None) };
        let decoded = body.decoded.get_or_try_init(|| body.form.decoded(&body.encoded, budget));
        decoded.await.cloned().map(Some)
    }
}

impl Held {
    fn memory_octets(&self) -> u64 {
        let Part { content_type, charset, disposition, file_name, .. } = &self.part;
        let optional = [charset, disposition, file_name].into_iter().flatten();
        let text = content_type.len() + optional.map(String::len).sum::<usize>();
        (size_of::<Self>() + text) as u64
    }
}

/// What parts are looked for in.
struct Source<'a> {
    content: &'a Content,
    /// Of the header section, where that does not stand in the content.
    root: Option<Fields>,
    parent: Option<u32>,
    /// How many encodings it was within.
    encodings: usize,
}

struct Listing<'a> {
    list: Vec<Held>,
    budget: &'a Arc<Budget>,
}

impl Listing<'_> {
    async fn add(&mut self, source: Source<'_>) -> Result<(), ContentError> {
        let (room, levels) = (PARTS - self.list.len(), LEVELS - self.level(source.parent));
        let found = structure::find(source.content, source.root, room, levels).await?;
        // The place in the whole list of each that was found here.
        let mut places: Vec<u32> = Vec::with_capacity(found.len());
        for found in found {
            if self.list.len() >= PARTS {
                break;
            }
            let parent = found.parent.map_or(source.parent, |at| places.get(at).copied());
            let place = self.list.len() as u32;
            places.push(place);
            let message = found.fields.is_encoded_message();
            let held = Held::new(found, source.content, parent, source.encodings == 0).await?;
            self.list.push(held);
            tokio::task::consume_budget().await;
            if message && source.encodings < ENCODINGS && self.level(Some(place)) < LEVELS {
                self.add_within(place, source.encodings + 1).await?;
            }
        }
        Ok(())
    }

    /// The parts of a message that is encoded as a whole.
    async fn add_within(&mut self, place: u32, encodings: usize) -> Result<(), ContentError> {
        let Some(body) = &self.list[place as usize].body else { return Ok(()) };
        let content = body.form.decoded(&body.encoded, self.budget).await?;
        // Who asks for it does not decode it again.
        let _ = body.decoded.set(content.clone());
        let source = Source { content: &content, root: None, parent: Some(place), encodings };
        Box::pin(self.add(source)).await
    }

    /// How many parts a part is within, itself included.
    fn level(&self, place: Option<u32>) -> usize {
        let parent = |place: &u32| self.list.get(*place as usize).and_then(|held| held.part.parent);
        std::iter::successors(place, parent).count()
    }
}

impl Held {
    async fn new(
        found: Found,
        source: &Content,
        parent: Option<u32>,
        plain: bool,
    ) -> Result<Self, ContentError> {
        let length = found.end - found.at;
        let form = found.fields.form();
        let body = (!found.multipart).then(|| Body {
            encoded: source.slice(found.at..found.end),
            form,
            decoded: OnceCell::new(),
        });
        let size = match &body {
            Some(body) => form.size(&body.encoded).await?,
            None => 0,
        };
        let Fields { content_type, charset, disposition, file_name, .. } = found.fields;
        let encoded = plain.then_some((found.at, length));
        let part = Part { parent, content_type, charset, disposition, file_name, size, encoded };
        Ok(Self { part, body })
    }
}

impl Form {
    /// What comes out. Nothing is copied where nothing was encoded.
    async fn decoded(
        self,
        encoded: &Content,
        budget: &Arc<Budget>,
    ) -> Result<Content, ContentError> {
        let Some(mut decoder) = Decoder::new(self) else { return Ok(encoded.clone()) };
        let mut chunks = Chunks::of(encoded);
        let mut writer = ContentWriter::new(budget.clone());
        while let Some(chunk) = chunks.next().await? {
            write(&mut writer, decoder.decode(chunk)).await?;
        }
        write(&mut writer, decoder.finish()).await?;
        writer.finish().await
    }

    /// How many octets come out.
    async fn size(self, encoded: &Content) -> Result<u64, ContentError> {
        let Some(mut decoder) = Decoder::new(self) else { return Ok(encoded.octets()) };
        let mut chunks = Chunks::of(encoded);
        let mut octets = 0;
        while let Some(chunk) = chunks.next().await? {
            octets += decoder.decode(chunk).len() as u64;
        }
        Ok(octets + decoder.finish().len() as u64)
    }
}

async fn write(writer: &mut ContentWriter, octets: Vec<u8>) -> Result<(), ContentError> {
    if octets.is_empty() { Ok(()) } else { writer.write(octets).await }
}

/// Goes through a content piece by piece, and lets others have the thread in between.
struct Chunks<'a> {
    content: &'a Content,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> Chunks<'a> {
    fn of(content: &'a Content) -> Self {
        let octets = content.octets().min(CHUNK_OCTETS as u64) as usize;
        Self { content, at: 0, buffer: vec![0; octets] }
    }

    async fn next(&mut self) -> Result<Option<&[u8]>, ContentError> {
        let left = self.content.octets() - self.at;
        if self.at > 0 && left > 0 {
            tokio::task::yield_now().await;
        }
        let wanted = left.min(self.buffer.len() as u64) as usize;
        let mut filled = 0;
        while filled < wanted {
            let into = &mut self.buffer[filled..wanted];
            let count = self.content.read_at(self.at + filled as u64, into)?;
            if count == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            filled += count;
        }
        self.at += filled as u64;
        Ok((filled > 0).then_some(&self.buffer[..filled]))
    }
}

/// What is beyond is not listed: real messages have less than a hundred.
const PARTS: usize = 1_000;

/// Parts within parts; what is deeper is not looked into. Forwards of forwards have ten or so.
const LEVELS: usize = 32;

/// Encoded messages within encoded messages, which RFC 2046 section 5.2.1 forbids and some send.
const ENCODINGS: usize = 3;

/// Half a millisecond's work.
const CHUNK_OCTETS: usize = 128 << 10;

#[cfg(test)]
mod tests;
