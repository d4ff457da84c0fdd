//! An upstream that answers by the local part of a recipient, up to a `-` in it: `no` is refused at RCPT, `late` after
//! the message for good and `full` for now; a message that says `lose me` ends it, and one that says
//! `meet` is answered when another upstream has it, too.

use std::net::SocketAddr;

use portcullis_smtp::server::{BareNewlines, Channel, Limits, Session, Settings, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    kept: Kept,
    _serving: JoinSet<()>,
}

/// Sender, recipients that were not refused, and octets.
type Kept = Arc<Mutex<Vec<(String, Vec<String>, String)>>>;

impl Upstream {
    pub(super) async fn start(protocol: Protocol, meeting: Arc<Barrier>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let kept = Kept::default();
        let mut serving = JoinSet::new();
        let mails = kept.clone();
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                conversations.spawn(converse(socket, protocol, mails.clone(), meeting.clone()));
            }
        });
        Self { address, kept, _serving: serving }
    }

    /// The recipients of each message that is here.
    pub(super) fn recipients(&self) -> Vec<Vec<String>> {
        self.kept.lock().expect("whole").iter().map(|(_, to, _)| to.clone()).collect()
    }

    /// The sender of the last message, and the message without `Received`.
    pub(super) fn last(&self) -> (String, String) {
        let kept = self.kept.lock().expect("whole");
        let (sender, _, octets) = kept.last().expect("a message");
        let lines = octets.split_inclusive("\r\n").skip(1);
        (sender.clone(), lines.skip_while(|line| line.starts_with('\t')).collect())
    }
}

async fn converse(mut socket: TcpStream, protocol: Protocol, kept: Kept, meeting: Arc<Barrier>) {
    let mut session = Session::new(settings(protocol), Channel::default());
    let mut mail = (String::new(), Vec::new(), String::new());
    let mut octets = [0; 4096];
    loop {
        match session.poll() {
            Step::Ask(question) => {
                let complete = question == Question::Message;
                let lose = complete && mail.2.contains("lose me");
                if complete && mail.2.contains("meet") {
                    meeting.wait().await;
                }
                let verdict = judge(question, &mut mail, &kept, protocol);
                if lose {
                    return;
                }
                session.decide(verdict);
            }
            Step::Content(chunk) => mail.2.push_str(&String::from_utf8_lossy(&chunk)),
            Step::Aborted | Step::Refused(_) => {}
            // AUTH is not offered.
            Step::Disproved { .. } | Step::Nonce | Step::Verifier { .. } => return,
            Step::Read => {
                let output = session.take_output();
                if socket.write_all(&output).await.is_err() {
                    return;
                }
                match socket.read(&mut octets).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => session.receive(&octets[..count]),
                }
            }
            Step::Close | Step::StartTls => return,
        }
    }
}

fn judge(
    question: Question,
    (sender, recipients, octets): &mut (String, Vec<String>, String),
    kept: &Kept,
    protocol: Protocol,
) -> Verdict {
    match question {
        Question::Mail { reverse_path, .. } => {
            *sender = reverse_path.to_string();
            recipients.clear();
            octets.clear();
            if sender.starts_with("bad") {
                return Verdict::Reply(Reply::fixed(553, (5, 7, 0), "bad sender"));
            }
        }
        Question::Rcpt { forward_path, .. } if manner(forward_path.local_part()) == "no" => {
            return Verdict::Reply(Reply::fixed(550, (5, 1, 1), "no such user"));
        }
        Question::Rcpt { forward_path, .. } => recipients.push(forward_path.to_string()),
        Question::Message => {
            let replies: Vec<_> = recipients.iter().map(|to| answer(to)).collect();
            let taken: Vec<_> =
                recipients.iter().filter(|to| answer(to).is_positive()).cloned().collect();
            let one = protocol == Protocol::Smtp;
            let refusal = replies.iter().find(|reply| !reply.is_positive()).filter(|_| one);
            if refusal.is_none() && !taken.is_empty() {
                kept.lock().expect("whole").push((sender.clone(), taken, octets.clone()));
            }
            return match refusal {
                Some(reply) => Verdict::Reply(reply.clone()),
                None => Verdict::Each(replies),
            };
        }
        Question::Auth(_)
        | Question::Connect
        | Question::Data
        | Question::Hello { .. }
        | Question::Xclient(_)
        | Question::Xforward(_) => {}
    }
    Verdict::Accept
}

fn answer(recipient: &str) -> Reply {
    match manner(recipient) {
        "late" => Reply::fixed(550, (5, 2, 1), "disabled"),
        "full" => Reply::fixed(452, (4, 2, 2), "full"),
        _ => Reply::fixed(250, (2, 0, 0), "kept"),
    }
}

fn manner(recipient: &str) -> &str {
    recipient.split(['@', '-']).next().unwrap_or_default()
}

fn settings(protocol: Protocol) -> Arc<Settings> {
    Arc::new(Settings {
        protocol,
        bare_newlines: BareNewlines::Refuse,
        limits: Limits { recipients: 10_000, errors: 0, ..Limits::default() },
        ..Settings::new("up.example")
    })
}
