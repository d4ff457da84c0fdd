//! What is shown: lines of words, for a terminal and for plain text alike.

use serde_json::Value;

use super::super::printable::printable;
use super::scrape::Interval;

/// How words look, where there are colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Tone {
    Bad,
    Good,
    Heading,
    #[default]
    Plain,
    Quiet,
}

/// One line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Line(pub(super) Vec<(String, Tone)>);

impl Line {
    fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    pub(super) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// What the gateway said of itself at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) status: Value,
    pub(super) sessions: Value,
    pub(super) transactions: Value,
}

/// All lines. `wanted` is a part of what sessions and transactions say.
pub(super) fn lines(facts: &Facts, interval: &Interval<'_>, wanted: &str) -> Vec<Line> {
    let mut lines = state(&facts.status);
    lines.extend(outcomes(interval));
    lines.extend(stores(&facts.status));
    for part in [
        listeners(&facts.status, interval),
        upstreams(&facts.status, interval),
        plugins(&facts.status, interval),
        sessions(&facts.sessions, wanted),
        transactions(&facts.transactions, wanted),
    ] {
        lines.push(Line::default());
        lines.extend(part);
    }
    lines
}

fn state(status: &Value) -> Vec<Line> {
    let ready = text(status, "state") == "ready";
    let configuration = &status["configuration"];
    let mut lines = vec![
        Line::of(format!("portcullis {}  ", text(status, "hostname")), Tone::Heading)
            .and(text(status, "state"), if ready { Tone::Good } else { Tone::Bad })
            .and(
                format!(
                    "  up {}  version {}  configuration {}",
                    age(number(status, "uptime_seconds")),
                    text(status, "version"),
                    number(configuration, "generation"),
                ),
                Tone::Plain,
            ),
    ];
    for reason in list(status, "reasons") {
        lines.push(Line::of(format!("not ready: {}", text(reason, "text")), Tone::Bad));
    }
    for warning in list(status, "warnings") {
        lines.push(Line::of(format!("warning: {}", text(warning, "text")), Tone::Bad));
    }
    let reload = &configuration["last_reload"];
    if text(reload, "result") == "failed" {
        let why = reload["text"].as_str().unwrap_or_default();
        let why = why.lines().find(|line| !line.is_empty()).unwrap_or_default();
        let line = format!("the last reload failed: {}", printable(why));
        lines.push(Line::of(line, Tone::Bad));
    }
    lines
}

fn outcomes(interval: &Interval<'_>) -> Vec<Line> {
    const NAME: &str = "portcullis_transactions_total";
    let mut line = Line::of("mail/s      ", Tone::Quiet);
    let mut outcomes = interval.after.values(NAME, "outcome");
    outcomes.sort_unstable();
    // Of those that never were, nothing is to be seen.
    let seen = |outcome: &str| interval.after.sum(NAME, &[("outcome", outcome)]) > 0.0;
    outcomes.retain(|outcome| ["accepted", "rejected"].contains(outcome) || seen(outcome));
    for outcome in outcomes {
        let rate = interval.rate(NAME, &[("outcome", outcome)]);
        let tone = if rate > 0.0 { Tone::Plain } else { Tone::Quiet };
        line = line.and(format!("{} {}  ", printable(outcome), per_second(rate)), tone);
    }
    vec![line]
}

fn stores(status: &Value) -> Vec<Line> {
    let memory = &status["memory"];
    let line = format!(
        "content     {} of {} in memory, {} of {} on disk",
        octets(number(memory, "used")),
        octets(number(memory, "limit")),
        octets(number(memory, "disk_used")),
        octets(number(memory, "disk_limit")),
    );
    let mut lines = vec![Line::of(line, Tone::Quiet)];
    if let Some(upstreams) = status["spool"]["upstreams"].as_array() {
        let waiting: f64 = upstreams.iter().map(|one| number(one, "waiting")).sum();
        let held = number(&status["spool"], "held");
        lines.push(Line::of(format!("spool       {waiting} wait, {held} held"), Tone::Quiet));
    }
    lines
}

fn listeners(status: &Value, interval: &Interval<'_>) -> Vec<Line> {
    let mut table = Table::new(&[
        ("LISTENER", 16),
        ("ADDRESS", 24),
        ("OPEN", -6),
        ("LIMIT", -7),
        ("NEW/S", -8),
        ("REFUSED/S", -10),
    ]);
    for one in list(status, "listeners") {
        let name = one["name"].as_str().unwrap_or_default();
        let of = [("listener", name)];
        let refused = interval.rate("portcullis_connections_refused_total", &of);
        let full = number(one, "open") >= number(one, "limit");
        table.row([
            (text(one, "name"), Tone::Plain),
            (text(one, "address"), Tone::Plain),
            (number(one, "open").to_string(), if full { Tone::Bad } else { Tone::Plain }),
            (number(one, "limit").to_string(), Tone::Quiet),
            (per_second(interval.rate("portcullis_connections_total", &of)), Tone::Plain),
            (per_second(refused), if refused > 0.0 { Tone::Bad } else { Tone::Plain }),
        ]);
    }
    table.lines
}

fn upstreams(status: &Value, interval: &Interval<'_>) -> Vec<Line> {
    let mut table = Table::new(&[
        ("UPSTREAM", 16),
        ("STATE", 6),
        ("CONN", -5),
        ("IN USE", -7),
        ("IDLE", -5),
        ("LIMIT", -6),
        ("MAIL/S", -8),
        ("P99", -8),
        ("  ADDRESSES", 40),
    ]);
    for one in list(status, "upstreams") {
        let name = one["name"].as_str().unwrap_or_default();
        let of = [("upstream", name), ("stage", "content")];
        let up = one["up"].as_bool().unwrap_or_default();
        let addresses: Vec<_> = list(one, "addresses")
            .iter()
            .map(|address| {
                let up = address["up"].as_bool().unwrap_or_default();
                format!("{}{}", text(address, "address"), if up { "" } else { " down" })
            })
            .collect();
        let took = interval.quantile("portcullis_upstream_reply_duration_seconds", &of, 0.99);
        table.row([
            (text(one, "name"), Tone::Plain),
            if up { ("up".into(), Tone::Good) } else { ("down".into(), Tone::Bad) },
            (number(one, "connections").to_string(), Tone::Plain),
            (number(one, "connections_in_use").to_string(), Tone::Plain),
            (number(one, "connections_idle").to_string(), Tone::Plain),
            (
                one["connections_limit"]
                    .as_u64()
                    .map_or_else(|| "-".into(), |limit| limit.to_string()),
                Tone::Quiet,
            ),
            (per_second(interval.rate("portcullis_upstream_replies_total", &of)), Tone::Plain),
            (took.map_or_else(|| "-".into(), brief), Tone::Plain),
            (format!("  {}", addresses.join(" ")), Tone::Quiet),
        ]);
    }
    table.lines
}

fn plugins(status: &Value, interval: &Interval<'_>) -> Vec<Line> {
    const CALLS: &str = "portcullis_plugin_calls_total";
    const SECONDS: &str = "portcullis_plugin_call_duration_seconds";
    let mut table = Table::new(&[
        ("PLUGIN", 16),
        ("BREAKER", 8),
        ("CALLS/S", -9),
        ("P50", -8),
        ("P99", -8),
        ("FAILED/S", -9),
        ("FAILED", -8),
    ]);
    for one in list(status, "plugins") {
        let of = [("plugin", one["name"].as_str().unwrap_or_default())];
        let failing = interval.rate("portcullis_plugin_failures_total", &of);
        let closed = text(one, "breaker") == "closed";
        let took = |part| interval.quantile(SECONDS, &of, part).map_or_else(|| "-".into(), brief);
        table.row([
            (text(one, "name"), Tone::Plain),
            (text(one, "breaker"), if closed { Tone::Good } else { Tone::Bad }),
            (per_second(interval.rate(CALLS, &of)), Tone::Plain),
            (took(0.5), Tone::Plain),
            (took(0.99), Tone::Plain),
            (per_second(failing), if failing > 0.0 { Tone::Bad } else { Tone::Plain }),
            (interval.after.sum("portcullis_plugin_failures_total", &of).to_string(), Tone::Quiet),
        ]);
    }
    if list(status, "plugins").is_empty() { Vec::new() } else { table.lines }
}

fn sessions(sessions: &Value, wanted: &str) -> Vec<Line> {
    let sessions: &[Value] = sessions.as_array().map_or(&[], Vec::as_slice);
    let mut table = Table::new(&[
        ("SESSION", 18),
        ("AGE", -6),
        ("  CLIENT", 26),
        ("HELO", 24),
        ("STAGE", 9),
        ("WAITS FOR", 14),
        ("TX", -4),
        ("  ENVELOPE", 60),
    ]);
    for one in sessions {
        let open = &one["transaction"];
        let envelope = if open.is_null() { String::new() } else { envelope(open) };
        let waits = format!("{} {}", text(one, "waits_for"), age(number(one, "waits_seconds")));
        let (client, helo) = (text(one, "client"), text(one, "helo"));
        if !fits(wanted, &[&text(one, "id"), &client, &helo, &text(one, "user"), &envelope]) {
            continue;
        }
        table.row([
            (text(one, "id"), Tone::Quiet),
            (age(number(one, "since_seconds")), Tone::Plain),
            (format!("  {client}"), Tone::Plain),
            (helo, Tone::Plain),
            (text(one, "stage"), Tone::Plain),
            (waits, Tone::Quiet),
            (number(one, "transactions").to_string(), Tone::Plain),
            (format!("  {envelope}"), Tone::Plain),
        ]);
    }
    table.titled(&format!("{} sessions in flight", sessions.len()))
}

fn transactions(transactions: &Value, wanted: &str) -> Vec<Line> {
    let mut table = Table::new(&[
        ("TIME", 9),
        ("OUTCOME", 12),
        ("CLIENT", 18),
        ("TOOK", -8),
        ("  ENVELOPE", 50),
        ("REPLY", 60),
    ]);
    for one in list(transactions, "transactions") {
        let by = text(&one["decided_by"], "plugin");
        let by = if by.is_empty() { String::new() } else { format!("{by}: ") };
        let (reply, envelope) = (format!("{by}{}", text(one, "reply")), envelope(one));
        let (client, outcome) = (text(&one["client"], "address"), text(one, "outcome"));
        if !fits(
            wanted,
            &[&text(one, "id"), &client, &text(one, "helo"), &outcome, &reply, &envelope],
        ) {
            continue;
        }
        let tone = if outcome == "accepted" { Tone::Good } else { Tone::Bad };
        table.row([
            (clock(&text(one, "time")), Tone::Quiet),
            (outcome, tone),
            (client, Tone::Plain),
            (brief(number(one, "duration_seconds")), Tone::Plain),
            (format!("  {envelope}"), Tone::Plain),
            (reply, Tone::Plain),
        ]);
    }
    table.titled(&format!("last {} transactions", number(transactions, "kept")))
}

/// `a@example.org -> b@example.com and 2 more`.
fn envelope(of: &Value) -> String {
    let recipients = list(of, "recipients");
    let name = |one: &Value| one.as_str().map_or_else(|| text(one, "address"), printable);
    let first = recipients.first().map(name).unwrap_or_default();
    let count = of["recipient_count"].as_u64().unwrap_or(recipients.len() as u64);
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let sender = text(of, "sender");
    let sender = if sender.is_empty() { "<>".to_owned() } else { sender };
    format!("{sender} -> {first}{more}")
}

fn fits(wanted: &str, texts: &[&str]) -> bool {
    let wanted = wanted.to_lowercase();
    texts.iter().any(|text| text.to_lowercase().contains(&wanted))
}

/// Columns; a negative width has its numbers at the right edge.
struct Table {
    columns: Vec<(&'static str, i16)>,
    lines: Vec<Line>,
}

impl Table {
    fn new(columns: &[(&'static str, i16)]) -> Self {
        let mut table = Self { columns: columns.to_vec(), lines: Vec::new() };
        let heads: Vec<_> =
            columns.iter().map(|(name, _)| ((*name).to_owned(), Tone::Heading)).collect();
        table.push(heads);
        table
    }

    fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        self.push(cells.into());
    }

    fn push(&mut self, cells: Vec<(String, Tone)>) {
        let last = cells.len().saturating_sub(1);
        let cells = cells.into_iter().zip(&self.columns).enumerate();
        let cells = cells.map(|(at, ((text, tone), (_, width)))| {
            let room = usize::from(width.unsigned_abs());
            let text = if at == last { text } else { cut(&text, room) };
            let padded =
                if *width < 0 { format!("{text:>room$}") } else { format!("{text:<room$}") };
            (if *width < 0 || at == last { padded } else { padded + " " }, tone)
        });
        self.lines.push(Line(cells.collect()));
    }

    fn titled(mut self, title: &str) -> Vec<Line> {
        self.lines.insert(0, Line::of(title, Tone::Quiet));
        self.lines
    }
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    kept + "…"
}

/// A text of the gateway's, which a peer may have said.
fn text(of: &Value, key: &str) -> String {
    of[key].as_str().map(printable).unwrap_or_default()
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_default()
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

fn per_second(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

/// `850µs`, `12ms`, `3.2s`.
fn brief(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0}µs", seconds * 1e6),
        ..0.1 => format!("{:.1}ms", seconds * 1e3),
        ..1.0 => format!("{:.0}ms", seconds * 1e3),
        _ => format!("{seconds:.1}s"),
    }
}

/// `12s`, `3m`, `5h`, `2d`.
fn age(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn octets(count: f64) -> String {
    const UNITS: [(f64, &str); 3] =
        [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    match UNITS.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count / size),
        None => format!("{count} B"),
    }
}

/// The time of day of an instant, as UTC has it.
fn clock(instant: &str) -> String {
    instant.split_once('T').map_or(instant, |(_, time)| time).chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scrape::Scrape;
    use super::*;

    fn facts(words: &str) -> Facts {
        Facts {
            status: json!({
                "hostname": "mx.example.org", "state": "not ready", "version": "1", "uptime_seconds": 7300,
                "reasons": [{"what": "draining", "text": words}],
                "configuration": {"generation": 2, "last_reload": {"result": "failed", "text": words}},
                "listeners": [{"name": "mx", "address": "127.0.0.1:25", "open": 2, "limit": 2}],
                "upstreams": [{"name": "store", "up": false, "connections": 1, "addresses": [{"address": "127.0.0.1:26", "up": false}]}],
                "plugins": [{"name": "access", "breaker": "open"}],
                "memory": {"used": 2048, "limit": 1_048_576},
            }),
            sessions: json!([{
                "id": "7x", "client": "192.0.2.1:4711", "helo": words, "stage": "rcpt",
                "waits_for": "client", "transactions": 1,
                "transaction": {"sender": "", "recipients": ["b@example.com"], "recipient_count": 3},
            }]),
            transactions: json!({"kept": 1, "transactions": [{
                "id": "7w.1", "time": "2026-11-22T16:00:01.5Z", "outcome": "rejected", "reply": words,
                "client": {"address": "192.0.2.1"}, "decided_by": {"plugin": "access", "hook": "rcpt"},
                "sender": "a@example.org", "recipients": [{"address": "c@example.com"}],
                "duration_seconds": 0.012,
            }]}),
        }
    }

    fn shown(words: &str, wanted: &str) -> String {
        let scrape = Scrape::default();
        let interval = Interval { before: &scrape, after: &scrape, seconds: 1.0 };
        let lines = lines(&facts(words), &interval, wanted);
        lines.iter().map(|line| line.text() + "\n").collect()
    }

    #[test]
    fn a_frame_has_all_parts() {
        let shown = shown("no", "");
        for part in [
            "portcullis mx.example.org  not ready  up 2h",
            "not ready: no",
            "the last reload failed: no",
            "127.0.0.1:26 down",
            "<> -> b@example.com and 2 more",
            "16:00:01",
            "access: no",
            "12.0ms",
        ] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
    }

    #[test]
    fn a_filter_leaves_what_has_it() {
        let some = shown("no", "C@EXAMPLE");
        assert!(!some.contains("b@example.com") && some.contains("c@example.com"), "{some}");
        assert!(some.contains("127.0.0.1:25"), "{some}");
    }

    #[test]
    fn what_a_peer_said_is_one_line_and_no_escape() {
        let hostile = shown("x\u{1b}[2J\r\ny\u{9b}0m", "");
        let plain = shown("x", "");
        assert_eq!(hostile.lines().count(), plain.lines().count(), "{hostile}");
        assert!(!hostile.chars().any(|c| c.is_control() && c != '\n'), "{hostile:?}");
    }
}
