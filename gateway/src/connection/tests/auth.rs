//! AUTH over real sockets: the octets that nobody can foresee, and the channel under it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;

#[tokio::test]
async fn no_challenge_comes_twice_and_a_wrong_proof_is_told() {
    let mut challenges = Vec::new();
    for _ in 0..2 {
        let server = server(LONG, None).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        hear(&mut client, "220 ").await;
        say(&mut client, "EHLO c.example\r\n", "250 ").await;
        challenges.push(ask(&mut client, "AUTH CRAM-MD5").await);
        let wrong = format!("alice {}", "0".repeat(32));
        say(&mut client, &format!("{}\r\n", BASE64_STANDARD.encode(wrong)), "535 5.7.8").await;
        let heard = server.heard.all();
        assert_eq!(heard[2..], ["verifier alice", "disproved alice"]);
    }
    assert_ne!(challenges[0], challenges[1]);
}

#[tokio::test]
async fn a_client_is_bound_to_the_channel_that_both_ends_see() {
    let (server, mut client) = under_starttls().await;
    let exporter: [u8; 32] = client
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
        .unwrap();
    prove(&mut client, &exporter).await;
    // The last word is the client's, and says nothing.
    assert_eq!(ask(&mut client, "").await, "235 2.7.0 authenticated");
    let heard = server.heard.all();
    assert_eq!(heard[heard.len() - 2..], ["verifier alice", "auth alice"]);
}

#[tokio::test]
async fn a_client_of_another_channel_is_not() {
    let (_server, mut client) = under_starttls().await;
    let said = prove(&mut client, &[0; 32]).await;
    assert_eq!(said, "e=channel-bindings-dont-match");
    assert!(ask(&mut client, "").await.starts_with("535 5.7.8 "));
}

/// A session after STARTTLS and EHLO, and its client.
async fn under_starttls() -> (Server, ClientStream<TcpStream>) {
    let made = tls::self_signed(&["mx.example"]).unwrap();
    let server = server(LONG, Some(TlsAcceptor::from(made.server_config().unwrap()))).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    say(&mut client, "STARTTLS\r\n", "220 ").await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let name = ServerName::try_from("mx.example").unwrap();
    let mut client = TlsConnector::from(Arc::new(config)).connect(name, client).await.unwrap();
    let offered = ask(&mut client, "EHLO c.example").await;
    assert!(offered.contains("AUTH SCRAM-SHA-256-PLUS "), "{offered}");
    (server, client)
}

/// Says what SCRAM-SHA-256-PLUS says for alice, bound to this; gives the server's last challenge.
async fn prove(client: &mut ClientStream<TcpStream>, exporter: &[u8]) -> String {
    let header = "p=tls-exporter,,";
    let bare = "n=alice,r=not-fresh";
    let first = BASE64_STANDARD.encode(format!("{header}{bare}"));
    let server_first = opened(&ask(client, &format!("AUTH SCRAM-SHA-256-PLUS {first}")).await);
    let nonce = server_first[2..].split(',').next().unwrap().to_owned();
    let binding = BASE64_STANDARD.encode([header.as_bytes(), exporter].concat());
    let last = format!("c={binding},r={nonce}");
    // One iteration: Hi is a single HMAC.
    let salted = hmac(b"secret", &[&b"salt"[..], &[0, 0, 0, 1]].concat());
    let client_key = hmac(&salted, b"Client Key");
    let signed = format!("{bare},{server_first},{last}");
    let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let last = format!("{last},p={}", BASE64_STANDARD.encode(proof));
    opened(&ask(client, &BASE64_STANDARD.encode(last)).await)
}

/// Says a line; gives the answer.
async fn ask(client: &mut (impl AsyncRead + AsyncWriteExt + Unpin), line: &str) -> String {
    client.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    let mut octets = [0; 1024];
    let count = timeout(LONG, client.read(&mut octets)).await.unwrap().unwrap();
    String::from_utf8_lossy(&octets[..count]).trim_end().to_owned()
}

fn opened(challenge: &str) -> String {
    let text = challenge.strip_prefix("334 ").expect(challenge);
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

fn hmac(key: &[u8], octets: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(octets);
    mac.finalize().into_bytes().into()
}
