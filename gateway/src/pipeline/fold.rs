//! The answers of all recipients, folded into what the client is told.
//!
//! LMTP and PRDR tell each recipient's own. SMTP has one reply for all of them, and the rule that loses
//! none is: the worst. A transient failure outranks a permanent one, since the client then keeps
//! the mail for everybody and the next attempt tells the permanent one; it may deliver twice to
//! those who took it already, which is better than never.

use portcullis_smtp::Reply;

/// The one reply for all. None of no replies.
pub(super) fn worst<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Option<Reply> {
    let worse = |worst, next| if rank(next) > rank(worst) { next } else { worst };
    replies.into_iter().reduce(worse).cloned()
}

fn rank(reply: &Reply) -> u8 {
    match reply {
        _ if reply.is_transient() => 2,
        _ if reply.is_permanent() => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply::bare(code, "text")
    }

    #[test]
    fn one_that_may_yet_succeed_decides() {
        for (codes, want) in [
            (vec![250, 250], Some(250)),
            (vec![250, 550], Some(550)),
            (vec![451, 250, 550], Some(451)),
            (vec![550, 451], Some(451)),
            (vec![552, 550], Some(552)),
            (vec![], None),
        ] {
            let replies: Vec<_> = codes.iter().copied().map(reply).collect();
            let folded = worst(&replies);
            assert_eq!(folded.map(|reply| reply.code()), want, "{codes:?}");
        }
    }
}
