//! Parts that are cut out, with a notice in their place.

use portcullis_plugin::{EditError, Message, Part};

/// Puts notices in the place of these parts: each with what the notice says.
pub(crate) fn strip(
    message: &Message,
    parts: &[Part],
    stripped: &[(u32, String)],
) -> Result<(), EditError> {
    // What is within something encoded goes with that.
    let mut places: Vec<(u32, &str)> = Vec::new();
    for (index, notice) in stripped {
        if let Some(outer) = placed(parts, *index)
            && !places.iter().any(|(known, _)| *known == outer)
        {
            places.push((outer, notice));
        }
    }
    // And what is within another that goes, with that.
    let outermost = |index: u32| {
        !ancestors(parts, index).skip(1).any(|outer| places.iter().any(|(one, _)| *one == outer))
    };
    for (index, notice) in places.iter().filter(|(index, _)| outermost(*index)) {
        replace(message, parts, *index, notice)?;
    }
    Ok(())
}

/// The part itself, then what it is within.
fn ancestors(parts: &[Part], index: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(index), |one| parts.get(*one as usize)?.parent)
}

/// The innermost one that has a place in the body of the message.
fn placed(parts: &[Part], index: u32) -> Option<u32> {
    ancestors(parts, index)
        .find(|one| parts.get(*one as usize).is_some_and(|part| part.encoded.is_some()))
}

fn replace(message: &Message, parts: &[Part], index: u32, notice: &str) -> Result<(), EditError> {
    let part = &parts[index as usize];
    let Some((at, length)) = part.encoded else { return Ok(()) };
    // The header of the whole message, or of one within, is not in the part's own place.
    let own_fields = part.parent.is_some_and(|parent| {
        parts.get(parent as usize).is_some_and(|one| one.content_type.starts_with("multipart/"))
    });
    if !own_fields {
        if part.parent.is_none() {
            return replace_whole(message, notice);
        }
        return message.splice_body(at, length, notice.as_bytes());
    }
    let from = fields_start(message, parts, part, at).unwrap_or(at);
    let fields = if from < at { FIELDS } else { "" };
    let text = format!("{fields}{notice}");
    message.splice_body(from, at + length - from, text.as_bytes())
}

/// A message that is nothing but the attachment becomes a text.
fn replace_whole(message: &Message, notice: &str) -> Result<(), EditError> {
    for (name, value) in [
        ("Content-Type", Some(TYPE)),
        ("Content-Transfer-Encoding", None),
        ("Content-Disposition", None),
    ] {
        let count = u32::try_from(message.header(name).len()).unwrap_or(u32::MAX);
        for nth in 0..count {
            match value {
                Some(value) if nth == 0 => message.set_header(name, 0, value.as_bytes())?,
                _ => message.drop_header(name, nth)?,
            }
        }
    }
    let writer = message.replace_body()?;
    writer.write(notice.as_bytes())?;
    writer.finish()
}

/// Where the part's header starts: behind the last boundary before its body.
fn fields_start(message: &Message, parts: &[Part], part: &Part, at: u64) -> Option<u64> {
    let siblings = parts.iter().filter(|one| one.parent == part.parent && one.index < part.index);
    let before = siblings.filter_map(|one| one.encoded).map(|(at, length)| at + length).max();
    let parent = parts.get(part.parent? as usize)?.encoded.map(|(at, _)| at);
    let start = before.or(parent).unwrap_or(0).max(at.saturating_sub(FIELDS_ROOM));
    let body = message.read_body();
    body.skip(start);
    let mut gap = Vec::new();
    while (gap.len() as u64) < at - start {
        let left = at - start - gap.len() as u64;
        let chunk = body.read(u32::try_from(left).unwrap_or(u32::MAX));
        if chunk.is_empty() {
            return None;
        }
        gap.extend(chunk);
    }
    let line =
        |place: usize| gap[place..].starts_with(b"--") && (place == 0 || gap[place - 1] == b'\n');
    let boundary = (0..gap.len()).rev().find(|place| line(*place))?;
    let end = gap[boundary..].iter().position(|byte| *byte == b'\n')?;
    Some(start + (boundary + end + 1) as u64)
}

const TYPE: &str = "text/plain; charset=us-ascii";
const FIELDS: &str =
    "Content-Type: text/plain; charset=us-ascii\r\nContent-Disposition: inline\r\n\r\n";
/// How far before the body its header may start.
const FIELDS_ROOM: u64 = 64 * 1024;
