//! What a conversation shows of itself to those who watch.

use portcullis_smtp::server::{Awaiting, Line, Question, Session};

use crate::live::{Presence, Stage, What};

/// Policy is asked now, and the client waits.
pub(super) fn tell_question(session: &mut Session, presence: &Presence, question: &Question) {
    presence.works_at(match question {
        Question::Auth(_) => Stage::Auth,
        Question::Connect => Stage::Connect,
        Question::Data => Stage::Data,
        Question::Hello { .. } => Stage::Helo,
        Question::Mail { .. } => Stage::Mail,
        Question::Message => Stage::Message,
        Question::Rcpt { .. } => Stage::Rcpt,
        Question::Xclient(_) | Question::Xforward(_) => Stage::Xclient,
    });
    tell_lines(session, presence);
    if let Question::Message = question {
        presence.content_ended();
    }
}

/// The client is waited for. From now on its lines are written down, if somebody follows it, or not any
/// more.
pub(super) fn tell_wait(session: &mut Session, presence: &Presence) {
    presence.awaits(session.awaiting() == Awaiting::Content, session.in_transaction());
    session.transcribe(presence.is_followed());
}

/// What was said since the last time, if somebody follows.
pub(super) fn tell_lines(session: &mut Session, presence: &Presence) {
    for line in session.take_transcript() {
        presence.step(|| match line {
            Line::Heard(text) => What::Command { text },
            Line::Said(text) => What::Reply { text },
        });
    }
}

/// It is over.
pub(super) fn tell_end(session: &mut Session, presence: &Presence, why: &str) {
    tell_lines(session, presence);
    presence.step(|| What::End { text: why.to_owned() });
}
