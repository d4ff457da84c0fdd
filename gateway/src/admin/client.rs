//! Asks the admin interface of a running gateway.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guard::FIELD;

/// Asks the gateway at this address, which may take as long as plugins take to compile: the status
/// of the answer, and its text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_reload(address: SocketAddr) -> io::Result<(u16, String)> {
    post(address, "/api/reload", "").await
}

/// Asks the gateway at this address to have another process take its place, which may take as long as one
/// takes to start: the status of the answer, and its text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_upgrade(address: SocketAddr) -> io::Result<(u16, String)> {
    post(address, "/api/upgrade", "").await
}

/// Asks the gateway at this address to do something with messages that wait, as JSON says it: the
/// status of the answer, and its text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_spool(address: SocketAddr, order: &str) -> io::Result<(u16, String)> {
    post(address, "/api/spool", order).await
}

/// Asks the gateway at this address for its configuration, as JSON: the status of the answer, and its
/// text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_config(address: SocketAddr) -> io::Result<(u16, String)> {
    let request = format!(
        "GET /api/config HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n"
    );
    exchange(address, &request).await
}

async fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<(u16, String)> {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{FIELD}: 1\r\nContent-Length: {length}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n{body}"
    );
    exchange(address, &request).await
}

async fn exchange(address: SocketAddr, request: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_OCTETS).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

/// More than the mistakes of the longest configuration.
const ANSWER_OCTETS: u64 = 16 << 20;
