//! Looks at a running gateway through its admin interface.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

use super::{MISCONFIGURED, reachable};
use crate::config;

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Gateway {
    /// Its configuration file, which says where its admin interface is.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// One that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    address: SocketAddr,
}

impl Gateway {
    /// Where it is; the exit code if nobody knows.
    pub(super) fn find(&self) -> Result<Asked, ExitCode> {
        let config = config::load(&self.config).map_err(|mistakes| {
            eprintln!("{mistakes}");
            ExitCode::from(MISCONFIGURED)
        })?;
        match config.admin.address.map(reachable) {
            Some(address) => Ok(Asked { address }),
            None => {
                eprintln!("error: without \"admin\" nobody can look at a gateway");
                Err(ExitCode::FAILURE)
            }
        }
    }
}

impl Asked {
    /// What is at a path, as a whole.
    pub(super) async fn get(&self, path: &str) -> Result<String, String> {
        let mut reader = self.open(path).await?;
        let mut body = String::new();
        let read = (&mut reader).take(ANSWER_OCTETS).read_to_string(&mut body).await;
        read.map_err(|error| self.silent(&error))?;
        Ok(body)
    }

    /// What comes at a path line by line.
    pub(super) async fn follow(&self, path: &str) -> Result<Followed, String> {
        Ok(Followed(self.open(path).await?.lines()))
    }

    /// The body of a 200. HTTP/1.0 has it come as it is.
    async fn open(&self, path: &str) -> Result<BufReader<TcpStream>, String> {
        let address = self.address;
        let opened = async {
            let mut stream = TcpStream::connect(address).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut reader = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while (&mut reader).take(LINE_OCTETS).read_line(&mut line).await? > 2 {
                head.push_str(&std::mem::take(&mut line));
            }
            std::io::Result::Ok((head, reader))
        };
        let (head, mut reader) = opened.await.map_err(|error| self.silent(&error))?;
        let status = head.split(' ').nth(1).unwrap_or("nothing");
        if status == "200" {
            return Ok(reader);
        }
        let mut why = String::new();
        let _ = (&mut reader).take(LINE_OCTETS).read_to_string(&mut why).await;
        Err(format!("the gateway at {address} answers {status}: {}", why.trim()))
    }

    fn silent(&self, error: &std::io::Error) -> String {
        format!("no gateway answers at {}: {error}", self.address)
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Followed(Lines<BufReader<TcpStream>>);

impl Followed {
    /// The next line; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<String>, String> {
        self.0.next_line().await.map_err(|error| format!("the connection broke: {error}"))
    }
}

/// More than what is kept of what went on.
const ANSWER_OCTETS: u64 = 256 << 20;

/// A line of HTTP's.
const LINE_OCTETS: u64 = 16 << 10;
