//! A mail store on a socket.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Takes mail, except for those whom it refuses.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    letters: Vec<Letter>,
    refusals: HashMap<String, String>,
    refused: usize,
    vanishes: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Letter {
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    pub(super) text: String,
}

/// An address that nobody answers at.
pub(super) async fn reserve() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

impl Post {
    pub(super) async fn open() -> Self {
        let (listener, address) = reserve().await;
        Self::serve(listener, address)
    }

    pub(super) async fn open_at(address: SocketAddr) -> Self {
        Self::serve(TcpListener::bind(address).await.expect("the port is free again"), address)
    }

    fn serve(listener: TcpListener, address: SocketAddr) -> Self {
        let post = Self { address, state: Arc::default() };
        let serving = post.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let post = serving.clone();
                tokio::spawn(async move { post.converse(stream).await });
            }
        });
        post
    }

    pub(super) fn letters(&self) -> Vec<Letter> {
        self.state.lock().expect("nobody panics").letters.clone()
    }

    /// From now on it takes messages and hangs up without a word.
    pub(super) fn vanish(&self) {
        self.state.lock().expect("nobody panics").vanishes = true;
    }

    /// How often somebody was refused.
    pub(super) fn refused(&self) -> usize {
        self.state.lock().expect("nobody panics").refused
    }

    /// Answers so to a recipient; the empty reply takes it back.
    pub(super) fn refuse(&self, recipient: &str, reply: &str) {
        let refusals = &mut self.state.lock().expect("nobody panics").refusals;
        match reply.is_empty() {
            true => refusals.remove(recipient),
            false => refusals.insert(recipient.to_owned(), reply.to_owned()),
        };
    }

    async fn converse(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        say(&mut stream, "220 post.example").await?;
        let mut letter = Letter::default();
        loop {
            let line = hear(&mut stream).await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let path = || line.split([':', ' ']).find(|word| word.starts_with('<'));
            let reply = match verb.as_str() {
                "EHLO" => "250-post.example\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES".to_owned(),
                "MAIL" => {
                    letter = Letter { sender: path()?.to_owned(), ..Letter::default() };
                    "250 2.1.0 ok".to_owned()
                }
                "RCPT" => self.recipient(path()?, &mut letter),
                "DATA" if letter.recipients.is_empty() => "554 5.5.1 nobody".to_owned(),
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    loop {
                        let line = hear(&mut stream).await?;
                        if line == "." {
                            break;
                        }
                        letter.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        letter.text.push_str("\r\n");
                    }
                    if self.take(letter.clone()) {
                        return None;
                    }
                    "250 2.0.0 taken".to_owned()
                }
                "QUIT" => return say(&mut stream, "221 2.0.0 bye").await,
                _ => "250 2.0.0 ok".to_owned(),
            };
            say(&mut stream, &reply).await?;
        }
    }

    /// Whether that is the last of it.
    fn take(&self, letter: Letter) -> bool {
        let mut state = self.state.lock().expect("nobody panics");
        state.letters.push(letter);
        state.vanishes
    }

    fn recipient(&self, path: &str, letter: &mut Letter) -> String {
        let mut state = self.state.lock().expect("nobody panics");
        if let Some(refusal) = state.refusals.get(path).cloned() {
            state.refused += 1;
            return refusal;
        }
        letter.recipients.push(path.to_owned());
        "250 2.1.5 ok".to_owned()
    }
}

async fn say(stream: &mut BufReader<TcpStream>, reply: &str) -> Option<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await.ok()?;
    (count > 0).then(|| line.trim_end_matches("\r\n").to_owned())
}
