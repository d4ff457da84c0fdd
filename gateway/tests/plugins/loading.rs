//! What is wrong with a plugin is told when it is loaded.

use portcullis::config::{Digest, Pin, PinnedBy, Place};
use portcullis::plugins::{Fingerprint, LoadFailure};
use portcullis::policy::{FailureReason, Hook};

use crate::house::{House, call, plugin};
use crate::text;

const NOTHING: &str = "(func $connect (param i32) (result i32) (i32.const 0))";

async fn failure(wasm: &[u8]) -> LoadFailure {
    let Err(failure) = House::new().try_load(wasm, |_| {}).await else { panic!("it was loaded") };
    failure
}

#[tokio::test]
async fn a_missing_file_is_named_with_its_plugin() {
    let house = House::new();
    let file = house.directory.path().join("missing.wasm");
    let error = house.engine.load(&plugin(file), <_>::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("plugin test: "), "{text}");
    assert!(text.contains("missing.wasm cannot be read"), "{text}");
}

#[tokio::test]
async fn a_refusal_of_settings_is_shown_in_the_plugins_words() {
    // result<subscription, string>: 1 is an error, then the text.
    let refusal = text::data(64, &[1, 0, 0, 0, 96, 0, 0, 0, 9, 0, 0, 0]);
    let words = text::data(96, b"no list\r\n");
    let code = format!(
        "{NOTHING} {refusal} {words}
        (func $configure (param i32 i32) (result i32) (i32.const 64))"
    );
    let failure = failure(&text::module(&["connect"], &code)).await;
    assert!(
        matches!(&failure, LoadFailure::Configure(text) if text == "no list\\r\\n"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_trap_when_it_is_configured_is_told() {
    let code = format!("{NOTHING} (func $configure (param i32 i32) (result i32) unreachable)");
    let failure = failure(&text::module(&["connect"], &code)).await;
    let LoadFailure::ConfigureFailed(failure) = failure else { panic!("{failure}") };
    assert_eq!(failure.reason, FailureReason::Trap);
}

#[tokio::test]
async fn only_the_file_that_is_pinned_is_loaded() {
    let wasm = text::module(&["connect"], NOTHING);
    let pin = |sha256, by| Pin { sha256, by, place: Place::default() };
    let right = pin(Digest::of(&wasm), PinnedBy::Key);
    let house = House::new();
    assert!(house.try_load(&wasm, |plugin| plugin.pins = vec![right.clone()]).await.is_ok());
    // What is pinned twice has to be both.
    let wrong = pin(Digest::of(b"another"), PinnedBy::Lock { octets: 7 });
    let pins = vec![right, wrong];
    let failure = house.try_load(&wasm, |plugin| plugin.pins = pins).await.unwrap_err();
    let (text, found) = (failure.to_string(), Digest::of(&wasm));
    assert!(text.starts_with("its file changed on disk since it was locked"), "{text}");
    assert!(text.contains(&format!("its SHA-256 is {found} ({} octets)", wasm.len())), "{text}");
    let help = failure.help(&plugin("x.wasm".into())).unwrap();
    assert!(help.contains("portcullis plugin lock --config "), "{help}");
}

#[tokio::test]
async fn a_fingerprint_tells_the_digest_and_the_contract() {
    let house = House::new();
    let file = house.directory.path().join("plugin.wasm");
    let wasm = text::module(&["connect"], NOTHING);
    std::fs::write(&file, &wasm).unwrap();
    let found = Fingerprint::of(&file).unwrap();
    let (sha256, octets) = (Digest::of(&wasm), wasm.len() as u64);
    assert_eq!(found, Fingerprint { sha256, octets, contract: "0.1.0".into() });
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    assert!(matches!(Fingerprint::of(&file), Err(LoadFailure::NoContract)));
}

#[tokio::test]
async fn more_memory_than_allowed_at_the_start_is_told() {
    let house = House::new();
    let wasm = text::module(&["connect"], NOTHING);
    let failure = house.try_load(&wasm, |plugin| plugin.memory_limit = 65_536).await;
    let Err(LoadFailure::ConfigureFailed(failure)) = failure else { panic!("loaded") };
    assert_eq!(failure.reason, FailureReason::Memory);
}

#[tokio::test]
async fn hooks_that_it_skips_are_not_asked() {
    // ok, and a list of one string.
    let answer = text::data(64, &[0, 0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0]);
    let list = text::data(80, &[96, 0, 0, 0, 4, 0, 0, 0]);
    let code = |name: &str| {
        format!(
            "{NOTHING} {answer} {list} {}
            (func $helo (param i32 i32 i32) (result i32) (i32.const 0))
            (func $configure (param i32 i32) (result i32) (i32.const 64))",
            text::data(96, name.as_bytes())
        )
    };
    let house = House::new();
    let plugin = house.load(&text::module(&["connect", "helo"], &code("helo"))).await;
    assert!(plugin.answers(Hook::Connect) && !plugin.answers(Hook::Helo));
    // Four letters are read.
    let unknown = house.try_load(&text::module(&["connect", "helo"], &code("hello")), |_| {}).await;
    assert!(matches!(unknown, Err(LoadFailure::Skip(name)) if name == "hell"));
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_what_to_do() {
    for (wasm, words) in [
        (text::module(&[], ""), "exports no hook"),
        (wat::parse_str("(module)").unwrap(), "wasm-tools component embed"),
        (wat::parse_str("(component)").unwrap(), "does not export smtp:filter/lifecycle"),
        (
            wat::parse_str(r#"(component (import "wasi:keyvalue/store@0.2.0" (instance)))"#)
                .unwrap(),
            "imports wasi:keyvalue/store@0.2.0",
        ),
        (
            wat::parse_str(r#"(component (import "smtp:filter/types@2.0.0" (instance)))"#).unwrap(),
            "built for smtp:filter/types@2.0.0",
        ),
        (b"hello".to_vec(), "not a WebAssembly file"),
    ] {
        let failure = failure(&wasm).await.to_string();
        assert!(failure.contains(words), "{failure}");
    }
}

#[tokio::test]
async fn truncated_plugins_are_refused_and_nothing_panics() {
    let house = House::new();
    let wasm = text::component(&["connect"], NOTHING);
    for length in (0..wasm.len()).step_by(7) {
        assert!(house.try_load(&wasm[..length], |_| {}).await.is_err(), "{length} octets");
    }
}

#[tokio::test]
async fn random_octets_are_refused_and_nothing_panics() {
    let house = House::new();
    let whole = text::module(&["connect"], NOTHING);
    // xorshift: the same octets at each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for n in 0..200 {
        let mut wasm = match n % 3 {
            0 => Vec::new(),
            1 => b"\0asm\x01\0\0\0".to_vec(),
            _ => b"\0asm\x0d\0\x01\0".to_vec(),
        };
        let length = random() % 2_000;
        wasm.extend((0..length).map(|_| random().to_le_bytes()[0]));
        assert!(house.try_load(&wasm, |_| {}).await.is_err());
        // And a plugin with one octet changed is refused or works, but does not end the process.
        let mut damaged = whole.clone();
        let at = usize::try_from(random()).unwrap_or(0) % damaged.len();
        damaged[at] = random().to_le_bytes()[0];
        if let Ok(plugin) = house.try_load(&damaged, |_| {}).await {
            let _ = plugin.copy().call(call(Hook::Connect)).await;
        }
    }
}
