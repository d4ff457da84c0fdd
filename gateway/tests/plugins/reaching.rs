//! Programs that bring `wasi:http` with them.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis::config::Origin;
use portcullis::policy::{Hook, Opinion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::house::{House, call};
use crate::text::{self, Foreign, Verdict};

const IO: &str = "package wasi:io@0.2.0;
interface poll { resource pollable { block: func(); } }";

/// As much of it as the plugin uses; the codes of errors are all there, in their order.
const HTTP: &str = "package wasi:http@0.2.0;
interface types {
    use wasi:io/poll@0.2.0.{pollable};
    variant scheme { HTTP, HTTPS, other(string) }
    record DNS-error-payload { rcode: option<string>, info-code: option<u16> }
    record TLS-alert-received-payload { alert-id: option<u8>, alert-message: option<string> }
    record field-size-payload { field-name: option<string>, field-size: option<u32> }
    variant error-code {
        DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable,
        destination-IP-prohibited, destination-IP-unroutable, connection-refused,
        connection-terminated, connection-timeout, connection-read-timeout,
        connection-write-timeout, connection-limit-reached, TLS-protocol-error,
        TLS-certificate-error, TLS-alert-received(TLS-alert-received-payload),
        HTTP-request-denied, HTTP-request-length-required, HTTP-request-body-size(option<u64>),
        HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
        HTTP-request-header-section-size(option<u32>),
        HTTP-request-header-size(option<field-size-payload>),
        HTTP-request-trailer-section-size(option<u32>),
        HTTP-request-trailer-size(field-size-payload), HTTP-response-incomplete,
        HTTP-response-header-section-size(option<u32>),
        HTTP-response-header-size(field-size-payload), HTTP-response-body-size(option<u64>),
        HTTP-response-trailer-section-size(option<u32>),
        HTTP-response-trailer-size(field-size-payload),
        HTTP-response-transfer-coding(option<string>),
        HTTP-response-content-coding(option<string>), HTTP-response-timeout, HTTP-upgrade-failed,
        HTTP-protocol-error, loop-detected, configuration-error, internal-error(option<string>),
    }
    resource fields { constructor(); }
    resource outgoing-request {
        constructor(headers: fields);
        set-scheme: func(scheme: option<scheme>) -> result;
        set-authority: func(authority: option<string>) -> result;
        set-path-with-query: func(path-with-query: option<string>) -> result;
    }
    resource request-options {}
    resource incoming-response { status: func() -> u16; }
    resource future-incoming-response {
        subscribe: func() -> pollable;
        get: func() -> option<result<result<incoming-response, error-code>>>;
    }
}
interface outgoing-handler {
    use types.{outgoing-request, request-options, future-incoming-response, error-code};
    handle: func(request: outgoing-request, options: option<request-options>)
        -> result<future-incoming-response, error-code>;
}";

const DENIED: u16 = 15;
const LATE: u16 = 33;

/// Refuses every client: with 350 more than the status of the answer, or with 500 and the number of
/// the error's code.
fn fetching(authority: &str) -> Vec<u8> {
    let foreign = Foreign {
        packages: &[IO, HTTP],
        imports: "import wasi:http/types@0.2.0; import wasi:http/outgoing-handler@0.2.0;",
    };
    let imports = r#"
        (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-request"
            (func $request (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
            (func $scheme (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
            (func $authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
            (func $path (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/outgoing-handler@0.2.0" "handle"
            (func $handle (param i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get"
            (func $get (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-response.status"
            (func $status (param i32) (result i32)))"#;
    let refusal = text::reply(1024, Verdict::Reject, 599, "so it is");
    let authority_at = text::data(2048, authority.as_bytes());
    let length = authority.len();
    let code = format!(
        r#"{refusal} {authority_at}
        (func $said (param $code i32) (result i32)
            (i32.store16 (i32.const 1028) (local.get $code))
            (i32.const 1024))
        (func $connect (param i32) (result i32)
            (local $request i32) (local $future i32)
            (local.set $request (call $request (call $fields)))
            (drop (call $scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
            (drop (call $authority (local.get $request) (i32.const 1) (i32.const 2048) (i32.const {length})))
            (i32.store8 (i32.const 3000) (i32.const 47))
            (drop (call $path (local.get $request) (i32.const 1) (i32.const 3000) (i32.const 1)))
            (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 4096))
            (if (i32.load8_u (i32.const 4096))
                (then (return (call $said
                    (i32.add (i32.const 500) (i32.load8_u (i32.const 4104)))))))
            (local.set $future (i32.load (i32.const 4104)))
            (call $block (call $subscribe (local.get $future)))
            (call $get (local.get $future) (i32.const 4096))
            (if (i32.load8_u (i32.const 4112))
                (then (return (call $said
                    (i32.add (i32.const 500) (i32.load8_u (i32.const 4120)))))))
            (call $said (i32.add (i32.const 350)
                (call $status (i32.load (i32.const 4120))))))"#
    );
    text::module_of(&foreign, &["connect"], imports, &code)
}

fn origin(address: SocketAddr) -> Origin {
    Origin { tls: false, host: address.ip().to_string(), port: address.port(), private: true }
}

/// A server that answers one request with 204, if at all; it tells how many connections there were.
async fn server(answers: bool) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        if answers {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
        // Until the other side has what it wants.
        let _ = stream.read(&mut [0]).await;
        head.truncate(length);
        head
    });
    (address, serving)
}

async fn code(house: &House, wasm: &[u8], origins: Vec<Origin>, time: Duration) -> u16 {
    let plugin = house.load_with(wasm, |plugin| {
        plugin.origins = origins;
        plugin.time_limit = time;
    });
    let answer = plugin.await.copy().call(call(Hook::Connect)).await.unwrap();
    let Opinion::Reject(reply) = answer.opinion else { panic!("{answer:?}") };
    reply.code()
}

#[tokio::test]
async fn wasi_http_reaches_what_is_granted_and_nothing_else() {
    let house = House::new();
    let (address, serving) = server(true).await;
    let wasm = fetching(&address.to_string());
    let minute = Duration::from_mins(1);
    assert_eq!(code(&house, &wasm, Vec::new(), minute).await, 500 + DENIED);
    let other = Origin { port: address.port() ^ 1, ..origin(address) };
    assert_eq!(code(&house, &wasm, vec![other], minute).await, 500 + DENIED);
    assert!(!serving.is_finished(), "nobody has come so far");
    assert_eq!(code(&house, &wasm, vec![origin(address)], minute).await, 350 + 204);
    drop(house);
    let head = String::from_utf8(serving.await.unwrap()).unwrap();
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert_eq!(head.to_lowercase().matches("\r\nhost:").count(), 1, "{head}");
}

#[tokio::test]
async fn wasi_http_waits_no_longer_than_the_plugin_may() {
    let house = House::new();
    let (address, serving) = server(false).await;
    let wasm = fetching(&address.to_string());
    let time = Duration::from_millis(500);
    let started = std::time::Instant::now();
    assert_eq!(code(&house, &wasm, vec![origin(address)], time).await, 500 + LATE);
    assert!(started.elapsed() < Duration::from_secs(30));
    // The connection is closed with the request.
    serving.await.unwrap();
}
