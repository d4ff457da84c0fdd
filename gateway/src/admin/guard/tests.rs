use hyper::Request;

use super::*;
use crate::config::{AdminToken, Authority, Place, TokenSecret};
use crate::metrics::{Metrics, Names};

const READER: &str = "reader-0123456789";
const WRITER: &str = "writer-0123456789";

fn guard(tokens: bool, clients: Option<AdminClients>) -> Guard {
    let token = |secret: &str, role| AdminToken {
        secret: TokenSecret::new(Zeroizing::new(secret.to_owned())).unwrap(),
        role,
    };
    let tokens = match tokens {
        true => vec![token(READER, Role::Reader), token(WRITER, Role::Writer)],
        false => Vec::new(),
    };
    let admin = Admin {
        addresses: Vec::new(),
        metrics: Vec::new(),
        hosts: vec!["mx1.example.org".to_owned()],
        tokens,
        tls: None,
    };
    let metrics = Metrics::new(&Names::default()).admin();
    Guard { clients, ..Guard::new(&admin, "Gateway.example", metrics) }
}

fn caller(address: &str) -> Caller {
    let address = match address.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, 1).into(),
        Err(_) => ClientAddress::Unix,
    };
    Caller { address, names: Vec::new(), is_scraper: false }
}

fn head(method: &Method, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The status for who may not.
fn asked(guard: &Guard, method: Method, fields: &[(&str, &str)], caller: &Caller) -> u16 {
    let access = match method == Method::POST {
        true => Access::Only(Role::Writer),
        false => Access::Only(Role::Reader),
    };
    let head = head(&method, fields);
    let admitted = guard.judge(&head, caller, access);
    admitted.map_or_else(|no| guard.answer(&no, &head).status().as_u16(), |_| 200)
}

const HOST: (&str, &str) = ("host", "127.0.0.1:9925");
const MEANT: (&str, &str) = (FIELD, "1");

#[test]
fn only_programs_of_this_machine_and_our_own_page_give_orders_where_there_are_no_tokens() {
    let guard = guard(false, None);
    let own = ("origin", "http://127.0.0.1:9925");
    for (fields, peer, status) in [
        (vec![HOST, MEANT], "127.0.0.1", 200),
        (vec![HOST, MEANT], "::ffff:127.0.0.1", 200),
        (vec![MEANT], "unix", 200),
        (vec![HOST, MEANT, own], "127.0.0.1", 200),
        (vec![HOST, MEANT, own, ("sec-fetch-site", "same-origin")], "127.0.0.1", 200),
        (vec![HOST, MEANT], "192.0.2.1", 403),
        (vec![HOST], "127.0.0.1", 403),
        (vec![], "unix", 403),
        (vec![MEANT], "127.0.0.1", 403),
        (vec![("host", "evil.example:9925"), MEANT], "127.0.0.1", 403),
        (vec![("host", "127.0.0.1.evil.example"), MEANT], "127.0.0.1", 403),
        (vec![HOST, MEANT, ("origin", "http://127.0.0.1:9926")], "127.0.0.1", 403),
        (vec![HOST, MEANT, ("origin", "http://evil.example")], "127.0.0.1", 403),
        (vec![HOST, MEANT, ("origin", "null")], "127.0.0.1", 403),
        (vec![HOST, MEANT, own, ("sec-fetch-site", "same-site")], "127.0.0.1", 403),
        (vec![HOST, MEANT, ("sec-fetch-site", "cross-site")], "127.0.0.1", 403),
        (vec![HOST, MEANT, ("sec-fetch-site", "none")], "127.0.0.1", 403),
    ] {
        let told = asked(&guard, Method::POST, &fields, &caller(peer));
        assert_eq!(told, status, "{fields:?} {peer}");
    }
}

#[test]
fn pages_of_other_sites_see_nothing() {
    let guard = guard(false, None);
    let (site, mode) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
    for (fields, status) in [
        (vec![HOST], 200),
        (vec![("host", "MX1.example.org:9925")], 200),
        (vec![("host", "gateway.example")], 200),
        (vec![HOST, ("sec-fetch-site", "none")], 200),
        (vec![HOST, ("sec-fetch-site", "same-origin")], 200),
        (vec![HOST, site, mode, ("sec-fetch-dest", "document")], 200),
        (vec![], 403),
        (vec![("host", "evil.example")], 403),
        (vec![("host", "mx1.example.org.evil.example")], 403),
        (vec![HOST, site], 403),
        (vec![HOST, ("origin", "https://evil.example")], 403),
        (vec![HOST, site, mode, ("sec-fetch-dest", "iframe")], 403),
        (vec![HOST, site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")], 403),
    ] {
        let told = asked(&guard, Method::GET, &fields, &caller("127.0.0.1"));
        assert_eq!(told, status, "{fields:?}");
    }
}

#[test]
fn a_token_says_who_asks_wherever_it_comes_from() {
    let guard = guard(true, None);
    let basic = |text: &str| format!("basic {}", BASE64_STANDARD.encode(text));
    for (method, authorization, status) in [
        (Method::GET, format!("Bearer {READER}"), 200),
        (Method::GET, format!("bearer  {WRITER}"), 200),
        (Method::GET, basic(&format!("anybody:{READER}")), 200),
        (Method::GET, basic(&format!("{READER}:")), 200),
        (Method::POST, format!("Bearer {WRITER}"), 200),
        (Method::POST, format!("Bearer {READER}"), 403),
        (Method::GET, format!("Bearer {}", READER.to_uppercase()), 401),
        (Method::GET, format!("Digest {READER}"), 401),
        (Method::GET, basic("no-colon"), 401),
        (Method::GET, "Bearer".to_owned(), 401),
    ] {
        for peer in ["127.0.0.1", "192.0.2.1"] {
            let fields = [HOST, MEANT, ("authorization", &*authorization)];
            let told = asked(&guard, method.clone(), &fields, &caller(peer));
            assert_eq!(told, status, "{method} {authorization} {peer}");
        }
    }
    assert_eq!(asked(&guard, Method::GET, &[HOST], &caller("127.0.0.1")), 401);
    assert_eq!(asked(&guard, Method::GET, &[], &caller("unix")), 200);
    let unmeant = ("authorization", &*format!("Bearer {WRITER}"));
    assert_eq!(asked(&guard, Method::POST, &[HOST, unmeant], &caller("192.0.2.1")), 403);
}

#[test]
fn a_proxy_on_this_machine_speaks_for_nobody_of_this_machine() {
    let guard = guard(false, None);
    assert_eq!(asked(&guard, Method::GET, &[HOST], &caller("127.0.0.1")), 200);
    for field in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let fields = [HOST, (field, "192.0.2.1")];
        assert_eq!(asked(&guard, Method::GET, &fields, &caller("127.0.0.1")), 403, "{field}");
    }
}

#[test]
fn who_guesses_tokens_is_not_heard_any_more_also_with_the_right_one() {
    let guard = guard(true, None);
    let mut told = Vec::new();
    for guess in 0..12 {
        let guess = format!("Bearer guess-{guess:020}");
        let fields = [HOST, ("authorization", &*guess)];
        told.push(asked(&guard, Method::GET, &fields, &caller("192.0.2.1")));
    }
    assert_eq!((told[9], told[10], told[11]), (401, 429, 429));
    let right = format!("Bearer {READER}");
    let fields = [HOST, ("authorization", &*right)];
    assert_eq!(asked(&guard, Method::GET, &fields, &caller("192.0.2.1")), 429);
    assert_eq!(asked(&guard, Method::GET, &fields, &caller("192.0.2.2")), 200);
}

#[test]
fn the_names_of_a_certificate_say_who_asks() {
    let clients = |readers: Option<&[&str]>| AdminClients {
        authority: Authority { file: "ca.pem".into(), place: Place::default() },
        readers: readers.map(|names| names.iter().map(ToString::to_string).collect()),
        writers: vec!["ann".to_owned()],
    };
    let (all, some) =
        (guard(false, Some(clients(None))), guard(false, Some(clients(Some(&["prometheus"])))));
    for (name, with_all, with_some) in [
        ("ann", [200, 200], [200, 200]),
        ("prometheus", [200, 403], [200, 403]),
        ("other", [200, 403], [403, 403]),
        ("", [403, 403], [403, 403]),
    ] {
        let names = [name].into_iter().filter(|name| !name.is_empty());
        let names = names.map(str::to_owned).collect();
        let caller = Caller { names, ..caller("127.0.0.1") };
        for (guard, expected) in [(&all, with_all), (&some, with_some)] {
            let get = asked(guard, Method::GET, &[HOST], &caller);
            let post = asked(guard, Method::POST, &[HOST, MEANT], &caller);
            assert_eq!([get, post], expected, "{name}");
        }
    }
}

#[test]
fn probes_are_asked_nothing_and_scrapers_only_for_their_host() {
    let guard = guard(true, None);
    let scraper = Caller { is_scraper: true, ..caller("192.0.2.1") };
    let admitted = |access, host: &str, caller: &Caller| {
        guard.judge(&head(&Method::GET, &[("host", host)]), caller, access).is_ok()
    };
    assert!(admitted(Access::Everyone, "evil.example", &caller("192.0.2.1")));
    assert!(admitted(Access::Scrapers, "10.0.0.1:9925", &scraper));
    assert!(!admitted(Access::Scrapers, "evil.example", &scraper));
    assert!(!admitted(Access::Scrapers, "10.0.0.1:9925", &caller("192.0.2.1")));
    assert!(!admitted(Access::Only(Role::Reader), "10.0.0.1:9925", &scraper));
}

#[test]
fn a_host_is_here_if_no_name_server_is_asked_for_it() {
    for host in ["localhost", "LOCALHOST:9925", "127.0.0.1", "[::1]:9925", "[::1]", "10.0.0.1:1"] {
        assert!(is_here(host), "{host}");
    }
    for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
        assert!(!is_here(host), "{host}");
    }
}

#[test]
fn nothing_shows_a_token() {
    let shown = format!("{:?}", guard(true, None));
    assert!(!shown.contains(READER) && !shown.contains(WRITER), "{shown}");
}
