use super::*;

fn properties(of: &MethodResult) -> Vec<(&str, &str)> {
    of.properties.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn what_large_providers_write_is_read() {
    let (instance, google) = read(
        "i=1; mx.google.example;
       dkim=pass header.i=@example.org header.s=s1 header.b=\"o/I+NEO8\";
       spf=pass (google.example: domain of a=b@example.org designates 192.0.2.1 as permitted sender (really)) smtp.mailfrom=\"a=b\"@example.org;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=Example.org",
    )
    .unwrap();
    assert_eq!(instance, Some(1));
    assert_eq!(google.id, "mx.google.example");
    assert_eq!(
        properties(&google.results[0]),
        [("header.i", "@example.org"), ("header.s", "s1"), ("header.b", "o/I+NEO8")]
    );
    assert_eq!(google.results[1].property("smtp.mailfrom"), Some("a=b@example.org"));
    assert!(google.results[2].is("dmarc", "pass"));
    let (_, microsoft) = read(
        "i=2; mx.microsoft.example 1; spf=pass smtp.mailfrom=x.example; dmarc=pass action=none header.from=x.example;compauth=pass reason=100;",
    )
    .unwrap();
    assert_eq!(microsoft.results.len(), 3);
    assert_eq!(microsoft.results[1].property("header.from"), Some("x.example"));
}

#[test]
fn words_in_quotes_and_comments_are_no_results() {
    let (_, read) = read(
        "a.example; spf=fail (; dmarc=pass header.from=x.example) reason=\"; dmarc=pass\"; DKIM/1 = (c) Fail",
    )
    .unwrap();
    let short: Vec<_> = read.results.iter().map(|r| (&*r.method, &*r.outcome)).collect();
    assert_eq!(short, [("spf", "fail"), ("dkim", "fail")]);
    assert_eq!(read.results[0].property("reason"), Some("; dmarc=pass"));
}

#[test]
fn what_is_not_the_grammar_says_nothing() {
    for field in [
        "",
        ";",
        "a.example (; dmarc=pass",
        "a.example; dmarc=pass \"",
        "a.example 2; dmarc=pass",
        "a.example; dmarc",
        "a.example; dmarc=pass header.from",
        "a.example; dmarc==pass",
        "a.example; dmarc=pass header.from=",
        "i=x; a.example; dmarc=pass",
        "i=1",
        "a.example; \"dmarc\"=pass",
    ] {
        assert_eq!(read(field), None, "{field}");
    }
    let none = read("a.example; none").unwrap();
    assert_eq!(none.1, Results { id: "a.example".to_owned(), results: vec![] });
}

#[test]
fn a_property_that_is_there_twice_is_none() {
    let (_, read) = read("a.example; dmarc=pass header.from=a header.from=b").unwrap();
    assert_eq!(read.results[0].property("header.from"), None);
}

#[test]
fn names_are_found_however_they_are_dressed() {
    for field in [
        "mx.example.org; dkim=pass",
        " MX.Example.Org ; none",
        "mx.example.org. 1; dkim=pass",
        "mx.example.org",
        "\"mx.example.org\"; dkim=pass",
        "mx.\"example\".org 1; dkim=pass",
        "(a (nested) \\) comment) mx.example.org (another) 1 ; dkim=pass",
        "mx . example(x).org; dkim=pass",
        "mx.example.org/1; dkim=pass",
        "mx.exam\\ple.org; dkim=pass",
        "\"mx.exam\\ple.org\" ; dkim=pass",
        "mx.example.org spf; dkim=pass",
    ] {
        assert_eq!(claimed(field).as_deref(), Some("mx.example.org"), "{field}");
    }
    assert_eq!(claimed("xn--bcher-kva.example; none"), claimed("B\u{dc}CHER.example; none"));
}

#[test]
fn fields_that_name_nobody() {
    for field in ["", ";", "dkim=pass header.d=a", "dkim = pass", "(mx.example.org; dkim=pass"] {
        assert_eq!(claimed(field), None, "{field}");
    }
    assert_eq!(claimed("other.example dkim=pass"), None);
    assert_eq!(claimed("notmx.example.org; x").as_deref(), Some("notmx.example.org"));
}

#[test]
fn no_value_takes_longer_than_its_length() {
    let start = std::time::Instant::now();
    for piece in [
        "a.\u{1}", "a. ", "(", "(a)", "\"a\"", "\\", ".\u{1}", ". 1", "a=b ", "\"", ";", "\u{e9}. ",
    ] {
        let value = piece.repeat(250_000 / piece.len());
        claimed(&value);
        let _ = read(&value);
    }
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
