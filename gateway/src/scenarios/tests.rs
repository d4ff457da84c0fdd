use super::*;

/// What is wrong with a scenario file, about a configuration of one listener.
#[track_caller]
fn mistakes(text: &str) -> String {
    let config = "hostname: mx.example.org\nlisteners: [{name: mx, address: '127.0.0.1:2525'}]\n\
                  upstreams: {store: {protocol: smtp, address: '127.0.0.1:2526'}}\n\
                  default_upstream: store\n";
    let config = crate::config::parse(Path::new("portcullis.yaml"), config).expect("it is right");
    let octets = text.as_bytes().to_vec();
    match Suite::parse(Path::new("scenarios.yaml"), octets, &config) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn every_form_of_an_expectation_can_be_read() {
    let text = "session: {client: 2001:db8::1, helo: a.example, listener: mx, tls: true, user: ann}\n\
        mail: {from: '', to: [bob@example.org]}\n\
        scenarios:\n\
        - name: one\n  message: \"a: b\\n\\n\"\n  expect:\n    outcome: accepted\n    reply: 250\n    \
            connect: next\n    rcpt: {bob@example.org: {reject: 550 5.1.1}}\n    message: [250]\n    \
            decided_by: {plugin: scores, hook: message}\n    score: {from: 1.5}\n    \
            symbols: {A: 1, B: null}\n    edits: [{score: A}]\n    routes: {bob@example.org: store}\n    \
            delivered: {headers: {A: b, C: null, D: {contains: x}}, body: ''}\n\
        - name: two\n  session: {client: unknown}\n  expect: {decided_by: null, symbols: [A], score: -1, \
            delivered: nothing, reply: {text: {contains: x}}}\n";
    assert_eq!(mistakes(text), "");
}

#[test]
fn a_mistake_is_told_with_its_place_and_the_nearest_name() {
    for (line, mistake) in [
        ("expect: {outcom: accepted}", "unknown key \"outcom\""),
        ("expect: {outcome: acepted}", "\"outcome\" cannot be \"acepted\""),
        ("expect: {rcpt: rejct}", "\"rcpt\" cannot be \"rejct\""),
        ("expect: {reply: no}", "\"no\" is no reply"),
        ("expect: {routes: {a@b.example: stor}}", "there is no upstream \"stor\""),
        ("expect: {decided_by: acces}", "there is no plugin \"acces\""),
        ("expect: {score: high}", "\"score\" cannot be \"high\""),
        ("expect: {symbols: {A: many}}", "the points of \"A\" are a number"),
        ("session: {listener: mxx}", "there is no listener \"mxx\""),
        ("session: {client: here}", "\"client\" cannot be \"here\""),
        ("mail: {to: [nobody]}", "\"nobody\" is no address"),
        ("message: x", "missing key \"to\""),
    ] {
        let told = mistakes(&format!("scenarios:\n- name: one\n  {line}\n"));
        assert!(told.contains(&format!("error: {mistake}\n")), "{line}: {told}");
        assert!(told.contains("--> scenarios.yaml:"), "{line}: {told}");
    }
    let told = mistakes("scenarios:\n- name: one\n  expect: {outcome: acepted}\n");
    assert!(told.contains("--> scenarios.yaml:3:21\n"), "{told}");
    assert!(told.contains("did you mean \"accepted\"?"), "{told}");
    assert!(mistakes("").contains("missing key \"scenarios\""));
    assert!(mistakes("scenarios: []").contains("there are no scenarios"));
}
