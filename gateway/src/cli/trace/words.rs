//! A step as people read it.

use serde_json::Value;

use super::super::printable::printable;

/// One line; what peers said is escaped.
pub(super) fn line(event: &str, data: &Value) -> String {
    match event {
        "dropped" => {
            format!("-- {} events were lost here: too many to be told --", data["dropped"])
        }
        "transaction" => transaction(data),
        _ => step(data),
    }
}

/// `16:00:01.123 7x 192.0.2.1:4711  C: EHLO client.example`
fn step(data: &Value) -> String {
    let at = text(data, "at");
    let time = at.split_once('T').map_or("", |(_, time)| time);
    let time: String = time.chars().take_while(|c| *c != 'Z').take(12).collect();
    let id = data["transaction"].as_str().map_or_else(|| text(data, "session"), printable);
    format!("{time:<12} {id} {}  {}", text(data, "client"), what(data))
}

fn what(data: &Value) -> String {
    let said = text(data, "text");
    match data["what"].as_str().unwrap_or_default() {
        "connect" => format!("-- connected to {} --", text(data, "listener")),
        "command" => format!("C: {said}"),
        "content" => format!("C: ({} octets of content)", data["octets"]),
        "reply" => format!("S: {said}"),
        "tls" => format!("-- {said} --"),
        "end" => format!("-- {said} --"),
        "hook" => {
            let quoted = if said.is_empty() { said } else { format!(" \"{said}\"") };
            let (plugin, hook, verdict) =
                (text(data, "plugin"), text(data, "hook"), text(data, "verdict"));
            format!("   {plugin} at {hook}: {verdict}{quoted}{}", took(data))
        }
        "upstream" => {
            let (upstream, recipient) = (text(data, "upstream"), text(data, "recipient"));
            format!("   upstream {upstream} <{recipient}>: {said}{}", took(data))
        }
        other => printable(other),
    }
}

/// `== rejected 7x.1 a@example.org by access: 550 5.7.1 no (12.3 ms)`
fn transaction(data: &Value) -> String {
    let by = text(&data["decided_by"], "plugin");
    let by = if by.is_empty() { by } else { format!(" by {by}") };
    let reply = text(data, "reply");
    let reply = if reply.is_empty() { reply } else { format!(": {reply}") };
    let (outcome, id, sender) = (text(data, "outcome"), text(data, "id"), text(data, "sender"));
    let seconds = data["duration_seconds"].as_f64().unwrap_or_default();
    format!("== {outcome} {id} <{sender}>{by}{reply} ({:.1} ms)", seconds * 1e3)
}

fn took(data: &Value) -> String {
    let seconds = data["seconds"].as_f64();
    seconds.map_or_else(String::new, |seconds| format!(" ({:.1} ms)", seconds * 1e3))
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().map(printable).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_step_has_its_words() {
        let step = |what: Value| {
            let mut data = json!({
                "at": "2026-11-22T16:00:01.123456Z", "session": "7x", "client": "192.0.2.1:4711", "listener": "mx",
            });
            data.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
            line("step", &data)
        };
        for (what, want) in [
            (json!({"what": "connect"}), "16:00:01.123 7x 192.0.2.1:4711  -- connected to mx --"),
            (
                json!({"what": "command", "text": "EHLO \u{1b}[2J", "transaction": "7x.1"}),
                "16:00:01.123 7x.1 192.0.2.1:4711  C: EHLO \u{fffd}[2J",
            ),
            (
                json!({"what": "hook", "plugin": "access", "hook": "rcpt", "verdict": "reject", "text": "550 no", "seconds": 0.0012}),
                "16:00:01.123 7x 192.0.2.1:4711     access at rcpt: reject \"550 no\" (1.2 ms)",
            ),
            (
                json!({"what": "upstream", "upstream": "store", "recipient": "b@c.example", "text": "250 ok"}),
                "16:00:01.123 7x 192.0.2.1:4711     upstream store <b@c.example>: 250 ok",
            ),
        ] {
            assert_eq!(step(what), want);
        }
    }

    #[test]
    fn what_is_lost_is_told() {
        assert!(line("dropped", &json!({"dropped": 3})).contains("3 events were lost"));
    }
}
