//! Who may ask for what.
//!
//! Whoever reaches loopback may look; to change something takes a header field that only a program adds,
//! or a page of ours. A page of another site always says its `Origin` where it could do harm; to us it
//! may not add the header field; and one whose name was made to mean this machine (DNS rebinding) shows
//! that name as `Host`.

use std::net::{IpAddr, SocketAddr};

use hyper::Method;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;

use super::route::Access;
use super::{Answer, Role, Status};

/// Which only those add who mean to change something.
pub(super) const FIELD: &str = "portcullis-request";

/// The role of who asks, or the answer to who may not.
pub(super) fn admit(
    head: &Parts,
    peer: SocketAddr,
    access: Access,
) -> Result<Option<Role>, Answer> {
    if access == Access::Everyone {
        return Ok(None);
    }
    let no = |why: &str| Answer::refusal(Status::FORBIDDEN, why);
    let fields = &head.headers;
    let host = text(fields, &HOST).unwrap_or_default();
    if !is_here(host) {
        return Err(no("Host has to be an IP address or localhost"));
    }
    if !is_ours(head, host) {
        return Err(no("this is not for pages of other sites"));
    }
    if access != Access::Only(Role::Writer) {
        return Ok(Some(Role::Reader));
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Err(no("this is for programs of this machine"));
    }
    if !fields.contains_key(FIELD) {
        return Err(no("who means it adds the field \"Portcullis-Request: 1\""));
    }
    Ok(Some(Role::Writer))
}

/// Whether no page of another site asks. Whoever follows a link to us may look: the other page does not
/// see what comes.
fn is_ours(head: &Parts, host: &str) -> bool {
    let fields = &head.headers;
    let origin = fields.contains_key(ORIGIN).then(|| text(fields, &ORIGIN).unwrap_or_default());
    let own = |origin: &str| {
        let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    let says = |name: &str| fields.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = match says("sec-fetch-site") {
        None | Some("same-origin") => true,
        Some("none") => head.method != Method::POST,
        Some(_) => {
            let linked = says("sec-fetch-mode") == Some("navigate")
                && says("sec-fetch-dest") == Some("document");
            linked && head.method == Method::GET
        }
    };
    site && origin.is_none_or(own)
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

/// Whether this means a machine by itself, without DNS.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn admitted(method: &Method, fields: &[(&str, &str)], peer: &str) -> bool {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let access = match *method == Method::POST {
            true => Access::Only(Role::Writer),
            false => Access::Only(Role::Reader),
        };
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        admit(&request.body(()).unwrap().into_parts().0, peer, access).is_ok()
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:9925");
    const MEANT: (&str, &str) = (FIELD, "1");

    #[test]
    fn only_programs_of_this_machine_and_our_own_page_change_anything() {
        let own = ("origin", "http://127.0.0.1:9925");
        for (fields, peer) in [
            (vec![HOST, MEANT], "127.0.0.1"),
            (vec![HOST, MEANT], "::ffff:127.0.0.1"),
            (vec![HOST, MEANT, own], "127.0.0.1"),
            (vec![HOST, MEANT, own, ("sec-fetch-site", "same-origin")], "127.0.0.1"),
        ] {
            assert!(admitted(&Method::POST, &fields, peer), "{fields:?} {peer}");
        }
        for (fields, peer) in [
            (vec![HOST, MEANT], "192.0.2.1"),
            (vec![HOST], "127.0.0.1"),
            (vec![MEANT], "127.0.0.1"),
            (vec![("host", "evil.example:9925"), MEANT], "127.0.0.1"),
            (vec![("host", "127.0.0.1.evil.example"), MEANT], "127.0.0.1"),
            (vec![HOST, MEANT, ("origin", "http://127.0.0.1:9926")], "127.0.0.1"),
            (vec![HOST, MEANT, ("origin", "http://evil.example")], "127.0.0.1"),
            (vec![HOST, MEANT, ("origin", "null")], "127.0.0.1"),
            (vec![HOST, MEANT, own, ("sec-fetch-site", "same-site")], "127.0.0.1"),
            (vec![HOST, MEANT, ("sec-fetch-site", "cross-site")], "127.0.0.1"),
            (vec![HOST, MEANT, ("sec-fetch-site", "none")], "127.0.0.1"),
        ] {
            assert!(!admitted(&Method::POST, &fields, peer), "{fields:?} {peer}");
        }
    }

    #[test]
    fn pages_of_other_sites_see_nothing() {
        let (site, mode) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
        for fields in [
            vec![HOST],
            vec![HOST, ("sec-fetch-site", "none")],
            vec![HOST, ("sec-fetch-site", "same-origin")],
            vec![HOST, site, mode, ("sec-fetch-dest", "document")],
        ] {
            assert!(admitted(&Method::GET, &fields, "127.0.0.1"), "{fields:?}");
        }
        for fields in [
            vec![],
            vec![("host", "evil.example")],
            vec![HOST, site],
            vec![HOST, ("origin", "https://evil.example")],
            vec![HOST, site, mode, ("sec-fetch-dest", "iframe")],
            vec![HOST, site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")],
        ] {
            assert!(!admitted(&Method::GET, &fields, "127.0.0.1"), "{fields:?}");
        }
    }

    #[test]
    fn a_host_is_here_if_no_name_server_is_asked_for_it() {
        for host in
            ["localhost", "LOCALHOST:9925", "127.0.0.1", "[::1]:9925", "[::1]", "10.0.0.1:1"]
        {
            assert!(is_here(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
            assert!(!is_here(host), "{host}");
        }
    }
}
