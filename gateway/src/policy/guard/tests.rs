use std::path::PathBuf;
use std::time::Duration;

use portcullis_smtp::{Mailbox, ReversePath};

use super::*;
use crate::message::{Content, Envelope, HeaderSection, Message, Scores, SessionFacts};
use crate::metrics::{Metrics, Names};

/// A guard whose breaker opens after three failures from two networks, for `open`.
fn guard(open: Duration, change: impl FnOnce(&mut config::Plugin)) -> Guard {
    let mut plugin = config::Plugin::new("filter", PathBuf::new());
    plugin.breaker =
        config::Breaker { failures: 3, window: Duration::from_mins(1), networks: 2, open };
    change(&mut plugin);
    Guard::new(&plugin, Metrics::new(&Names::default()).plugin("filter"))
}

const LONG: Duration = Duration::from_hours(1);

fn case(client: &str, sender: &str, message: Option<(&str, &str)>) -> Case {
    let client = format!("{client}:4025").parse().unwrap();
    let envelope = Envelope {
        id: "s.1".into(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse(sender).unwrap()),
        parameters: Vec::new(),
        recipients: Vec::new(),
        scores: Scores::default(),
    };
    Case {
        envelope: Some(Arc::new(envelope)),
        message: message.map(|(header, body)| {
            let header = Arc::new(HeaderSection::parse(header.as_bytes().to_vec()));
            Message::new(header, Content::from_bytes(body.as_bytes().to_vec()))
        }),
        ..Case::new(Arc::new(SessionFacts::new("s".into(), "mx", client)), 1000)
    }
}

fn failed(reason: FailureReason) -> HookFailure {
    HookFailure { reason, detail: String::new() }
}

fn call(
    guard: &Guard,
    hook: Hook,
    case: &Case,
    result: Result<(), FailureReason>,
) -> Option<FailureReason> {
    match guard.admit(hook, case, None) {
        Ok(pass) => {
            pass.settle(result.map_err(failed).as_ref().map(drop), case, None);
            None
        }
        Err(failure) => Some(failure.reason),
    }
}

fn trap(guard: &Guard, case: &Case) -> Option<FailureReason> {
    call(guard, Hook::Mail, case, Err(FailureReason::Trap))
}

fn answer(guard: &Guard, case: &Case) -> Option<FailureReason> {
    call(guard, Hook::Mail, case, Ok(()))
}

fn sender(n: usize) -> Case {
    case(&format!("192.0.{n}.1"), &format!("s{n}@example.com"), None)
}

#[test]
fn a_plugin_that_fails_for_several_networks_is_not_called_and_tried_again_later() {
    let guard = guard(Duration::from_millis(1), |_| {});
    for n in 0..3 {
        assert_eq!(trap(&guard, &sender(n)), None);
    }
    assert!(guard.metrics.is_broken());
    std::thread::sleep(Duration::from_millis(2));
    let probe = sender(4);
    let pass = guard.admit(Hook::Mail, &probe, None).unwrap();
    assert_eq!(answer(&guard, &sender(5)), Some(FailureReason::Open), "one at a time");
    pass.settle(Ok(()), &probe, None);
    assert!(!guard.metrics.is_broken());
    assert_eq!(answer(&guard, &sender(6)), None);
}

#[test]
fn a_probe_that_fails_opens_it_again_and_one_without_end_leaves_it_to_the_next() {
    let guard = guard(Duration::from_millis(200), |_| {});
    for n in 0..3 {
        assert_eq!(trap(&guard, &sender(n)), None);
    }
    assert_eq!(answer(&guard, &sender(3)), Some(FailureReason::Open));
    std::thread::sleep(Duration::from_millis(201));
    drop(guard.admit(Hook::Mail, &sender(4), None).unwrap());
    assert_eq!(trap(&guard, &sender(5)), None);
    assert_eq!(answer(&guard, &sender(6)), Some(FailureReason::Open));
    assert!(guard.metrics.is_broken());
}

#[test]
fn one_network_however_many_messages_it_sends_opens_nothing() {
    let guard = guard(LONG, |_| {});
    for n in 0..50 {
        let villain = case(&format!("192.0.2.{n}"), &format!("s{n}@example.com"), None);
        assert_eq!(trap(&guard, &villain), None);
    }
    assert!(!guard.metrics.is_broken());
}

#[test]
fn one_message_from_however_many_networks_counts_once() {
    let guard = guard(LONG, |_| {});
    let message = Some(("Message-ID: <1@a>\r\n\r\n", "boom"));
    for n in 0..50 {
        let villain = case(&format!("192.0.{n}.1"), "s@example.com", message);
        assert_eq!(call(&guard, Hook::Message, &villain, Err(FailureReason::Trap)), None);
    }
    assert!(!guard.metrics.is_broken());
}

#[test]
fn where_most_calls_succeed_nothing_opens() {
    let guard = guard(LONG, |_| {});
    assert_eq!(trap(&guard, &sender(0)), None);
    for n in 1..100 {
        assert_eq!(answer(&guard, &sender(n)), None);
        assert_eq!(answer(&guard, &sender(n)), None);
        assert_eq!(trap(&guard, &sender(n)), None);
    }
    assert!(!guard.metrics.is_broken());
}

#[test]
fn the_gateways_own_fault_is_none_of_the_plugins() {
    let guard = guard(LONG, |_| {});
    for n in 0..50 {
        assert_eq!(call(&guard, Hook::Mail, &sender(n), Err(FailureReason::Busy)), None);
    }
    assert!(!guard.metrics.is_broken());
}

#[test]
fn a_breaker_is_one_hooks_and_a_plugin_that_goes_leaves_none_open() {
    let guard = guard(LONG, |_| {});
    for n in 0..3 {
        assert_eq!(trap(&guard, &sender(n)), None);
    }
    assert_eq!(answer(&guard, &sender(3)), Some(FailureReason::Open));
    assert_eq!(call(&guard, Hook::Rcpt, &sender(3), Ok(())), None);
    let metrics = guard.metrics.clone();
    drop(guard);
    assert!(!metrics.is_broken());
}

#[test]
fn with_accept_nothing_opens_unless_it_is_asked_for() {
    let guard = guard(LONG, |plugin| {
        plugin.breaker = config::Breaker::default_for(OnFailure::Accept);
    });
    for n in 0..50 {
        assert_eq!(trap(&guard, &sender(n)), None);
    }
    assert!(!guard.metrics.is_broken());
}

/// A guard without a breaker.
fn poison(change: impl FnOnce(&mut config::Poison)) -> Guard {
    guard(LONG, |plugin| {
        plugin.breaker.failures = 0;
        change(&mut plugin.poison);
    })
}

const LETTER: Option<(&str, &str)> = Some(("Message-ID: <1@a>\r\nSubject: x\r\n\r\n", "boom"));

/// The letter fails once more, and another is answered.
fn fail_once_more(guard: &Guard, client: &str, hook: Hook) {
    let villain = case(client, "s@example.com", LETTER);
    assert_eq!(call(guard, hook, &villain, Err(FailureReason::Trap)), None);
    let other = case("192.0.2.9", "t@example.com", Some(("Subject: y\r\n\r\n", "fine")));
    assert_eq!(call(guard, hook, &other, Ok(())), None);
}

#[test]
fn a_message_that_kills_again_and_again_is_not_shown_any_more() {
    let guard = poison(|_| {});
    for client in ["192.0.2.1", "198.51.100.7", "203.0.113.1"] {
        fail_once_more(&guard, client, Hook::Message);
    }
    // From yet another address, and with a field that an earlier plugin added.
    let again = Some(("X-Seen: 4\r\nMessage-ID: <1@a>\r\nSubject: x\r\n\r\n", "boom"));
    let again = case("192.0.3.1", "s@example.com", again);
    assert_eq!(call(&guard, Hook::Message, &again, Ok(())), Some(FailureReason::Poison));
    for other in [
        case("192.0.3.1", "other@example.com", LETTER),
        case(
            "192.0.3.1",
            "s@example.com",
            Some(("Message-ID: <1@a>\r\nSubject: x\r\n\r\n", "bean")),
        ),
        case(
            "192.0.3.1",
            "s@example.com",
            Some(("Message-ID: <2@a>\r\nSubject: x\r\n\r\n", "boom")),
        ),
    ] {
        assert_eq!(call(&guard, Hook::Message, &other, Ok(())), None);
    }
    assert_eq!(call(&guard, Hook::Headers, &again, Ok(())), None, "another hook");
}

#[test]
fn before_there_is_a_message_a_client_and_what_it_said_are_the_subject() {
    let guard = poison(|_| {});
    for n in 0..3 {
        let villain = case(&format!("192.0.2.{n}"), "s@example.com", None);
        assert_eq!(trap(&guard, &villain), None);
        assert_eq!(answer(&guard, &sender(8)), None);
    }
    let villain = case("192.0.2.77", "s@example.com", None);
    assert_eq!(answer(&guard, &villain), Some(FailureReason::Poison));
    assert_eq!(answer(&guard, &case("192.0.2.77", "t@example.com", None)), None);
    assert_eq!(answer(&guard, &case("192.0.3.77", "s@example.com", None)), None);
}

#[test]
fn while_the_plugin_fails_at_everything_no_message_is_poison() {
    let guard = poison(|_| {});
    for _ in 0..20 {
        assert_eq!(trap(&guard, &sender(1)), None);
        assert_eq!(trap(&guard, &sender(2)), None);
    }
    assert_eq!(answer(&guard, &sender(1)), None);
}

#[test]
fn poison_is_forgotten_in_time_and_means_what_is_configured() {
    let guard = poison(|poison| {
        poison.window = Duration::from_millis(100);
        poison.on_failure = Some(OnFailure::Reject);
    });
    assert_eq!(guard.on_failure(FailureReason::Trap), OnFailure::Tempfail);
    assert_eq!(guard.on_failure(FailureReason::Poison), OnFailure::Reject);
    for _ in 0..3 {
        fail_once_more(&guard, "192.0.2.1", Hook::Message);
    }
    let villain = case("192.0.2.1", "s@example.com", LETTER);
    assert_eq!(call(&guard, Hook::Message, &villain, Ok(())), Some(FailureReason::Poison));
    std::thread::sleep(Duration::from_millis(101));
    assert_eq!(call(&guard, Hook::Message, &villain, Ok(())), None);
}

#[test]
fn a_flood_of_messages_that_kill_takes_a_bounded_memory() {
    let guard = poison(|_| {});
    for n in 0..3_000 {
        assert_eq!(trap(&guard, &case("192.0.2.1", &format!("s{n}@example.com"), None)), None);
    }
    assert_eq!(guard.poisons.len(), 1_024);
}
