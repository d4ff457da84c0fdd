//! Plugins in wasm text.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A core module with the section that says what it is: hooks by name, and wasm text that defines
/// their functions as `$connect`, `$helo` and so on, each returning the address of a verdict.
///
/// `$configure` returns the address of a result; without one it is `ok` with nothing to skip.
pub(crate) fn module(hooks: &[&str], text: &str) -> Vec<u8> {
    module_importing(hooks, "", text)
}

/// As [`module`], with imports written in wasm text, which have to come first.
pub(crate) fn module_importing(hooks: &[&str], imports: &str, text: &str) -> Vec<u8> {
    module_of(&Foreign::default(), hooks, imports, text)
}

/// Interfaces beside the contract's.
#[derive(Default)]
pub(crate) struct Foreign<'a> {
    /// As WIT, in the order in which they need each other.
    pub(crate) packages: &'a [&'a str],
    /// What a world says that imports them.
    pub(crate) imports: &'a str,
}

/// As [`module_importing`], with interfaces that are not the contract's.
pub(crate) fn module_of(
    foreign: &Foreign<'_>,
    hooks: &[&str],
    imports: &str,
    text: &str,
) -> Vec<u8> {
    let configure = if text.contains("$configure") {
        ""
    } else {
        "(func $configure (param i32 i32) (result i32) (i32.const 0))"
    };
    let exports: String = hooks.iter().map(|hook| export(hook)).collect();
    let text = format!(
        r#"(module
            (import "smtp:filter/types@0.1.0" "[resource-drop]session" (func $end0 (param i32)))
            (import "smtp:filter/types@0.1.0" "[resource-drop]transaction" (func $end1 (param i32)))
            (import "smtp:filter/types@0.1.0" "[resource-drop]message" (func $end2 (param i32)))
            {imports}
            (memory (export "memory") 8)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at
                    (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (export "smtp:filter/lifecycle@0.1.0#configure" (func $configure))
            {exports}
            {configure}
            {text})"#
    );
    let mut wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (resolve, world) = world(foreign, hooks);
    embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
    wasm
}

/// The export of a hook: it calls the function of its name, then gives its handles back, as every
/// plugin has to.
fn export(hook: &str) -> String {
    if hook == "outcome" {
        return r#"(export "smtp:filter/on-outcome@0.1.0#handle" (func $outcome))"#.to_owned();
    }
    let (parameters, handles) = match hook {
        "connect" => (1, 1),
        "helo" => (3, 1),
        "auth" => (11, 1),
        "rcpt" => (7, 2),
        "headers" | "message" => (3, 3),
        _ => (2, 2),
    };
    let types = " i32".repeat(parameters);
    let passed: String = (0..parameters).map(|n| format!("(local.get {n})")).collect();
    let ends: String = (0..handles).map(|n| format!("(call $end{n} (local.get {n}))")).collect();
    format!(
        r#"(func (export "smtp:filter/on-{hook}@0.1.0#handle") (param{types}) (result i32)
            (call ${hook} {passed})
            {ends})"#
    )
}

/// The same as a component.
pub(crate) fn component(hooks: &[&str], text: &str) -> Vec<u8> {
    let module = module(hooks, text);
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn world(foreign: &Foreign<'_>, hooks: &[&str]) -> (Resolve, wit_parser::WorldId) {
    let mut resolve = Resolve::default();
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-sdk/wit");
    resolve.push_path(contract).unwrap();
    for package in foreign.packages {
        resolve.push_str("foreign.wit", package).unwrap();
    }
    let imports = foreign.imports;
    let exports: String =
        hooks.iter().map(|hook| format!("export smtp:filter/on-{hook}@0.1.0;")).collect();
    let world = format!(
        "package test:plugin;
        world plugin {{
            include smtp:filter/capabilities@0.1.0;
            {imports}
            export smtp:filter/lifecycle@0.1.0;
            {exports}
        }}"
    );
    let package = resolve.push_str("plugin.wit", &world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

/// Wasm text that puts a verdict with a reply at `at`, its text behind it.
pub(crate) fn reply(at: u32, verdict: Verdict, code: u16, text: &str) -> String {
    let mut octets = vec![verdict as u8, 0, 0, 0];
    octets.extend(code.to_le_bytes());
    octets.extend([0; 10]);
    octets.extend((at + 24).to_le_bytes());
    octets.extend((text.len() as u32).to_le_bytes());
    octets.extend(text.as_bytes());
    data(at, &octets)
}

/// Wasm text that puts an answer to credentials at `at`: the client is this identity.
pub(crate) fn identity(at: u32, identity: &str) -> String {
    let mut octets = vec![1, 0, 0, 0];
    octets.extend((at + 12).to_le_bytes());
    octets.extend((identity.len() as u32).to_le_bytes());
    octets.extend(identity.as_bytes());
    data(at, &octets)
}

/// Wasm text that puts octets at `at`.
pub(crate) fn data(at: u32, octets: &[u8]) -> String {
    let escaped: String = octets.iter().map(|octet| format!("\\{octet:02x}")).collect();
    format!(r#"(data (i32.const {at}) "{escaped}")"#)
}

/// The variants of a verdict that carry a reply, by their place in the contract. The answer to
/// credentials has `refused` and `unavailable` in the places of the first two.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Reject = 2,
    Defer = 3,
    Disconnect = 4,
}
