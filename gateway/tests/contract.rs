//! The contract only grows: what a plugin was compiled against keeps its shape, as
//! `plugin-sdk/wit/README.md` promises. `tests/contract/` holds what was released.

#![expect(clippy::unwrap_used, reason = "the contract parses")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wit_parser::{Function, Handle, Interface, Resolve, Type, TypeDefKind, TypeId, TypeOwner};

#[test]
fn what_was_released_keeps_its_shape() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (version, now) = shapes(&root.join("plugin-sdk/wit"));
    let released = released(&root.join("tests/contract"), &version);
    assert!(!released.is_empty(), "tests/contract has nothing of the series of {version}");
    for folder in released {
        for (name, then) in shapes(&folder).1 {
            let shape = now.get(&name).map(String::as_str);
            let advice = "give it another name, or raise the version (plugin-sdk/wit/README.md)";
            assert_eq!(shape, Some(&*then), "{name} of {}: {advice}", folder.display());
        }
    }
}

#[test]
fn a_changed_shape_is_found() {
    let shapes = |text: &str| {
        let mut resolve = Resolve::default();
        resolve.push_str("x.wit", &format!("package a:b@0.1.0; interface i {{ {text} }}")).unwrap();
        interfaces(&resolve)
    };
    let then = shapes("record r { a: u32 } f: func(x: option<r>) -> result<list<u8>, string>;");
    assert_eq!(then["i.r"], "record { a: u32 }");
    assert_eq!(then["i.f"], "(x: option<i.r>) -> result<list<u8>, string>");
    for other in [
        "record r { a: u64 } f: func(x: option<r>) -> result<list<u8>, string>;",
        "record r { a: u32, b: u32 } f: func(x: option<r>) -> result<list<u8>, string>;",
        "record r { a: u32 } f: func(x: r) -> result<list<u8>, string>;",
        "record r { a: u32 } f: func(y: option<r>) -> result<list<u8>, string>;",
        "record r { a: u32 } f: func(x: option<r>);",
    ] {
        assert_ne!(shapes(other), then, "{other}");
    }
}

/// The folders of versions that plugins of this one fit to: until 1.0 those with the same second
/// number, then all with the same first.
fn released(folder: &Path, version: &str) -> Vec<PathBuf> {
    let series = |version: &str| {
        let mut numbers = version.split('.').map(str::to_owned);
        let major = numbers.next().unwrap();
        if major == "0" { format!("0.{}", numbers.next().unwrap()) } else { major }
    };
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let fits = |folder: &PathBuf| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        folder.is_dir() && series(name) == series(version)
    };
    folders.filter(fits).collect()
}

/// The version of the contract in a folder, and each of its types and functions.
fn shapes(folder: &Path) -> (String, BTreeMap<String, String>) {
    let mut resolve = Resolve::default();
    // Not the folder: compiled plugins lie beside the text.
    let file = folder.join("filter.wit");
    let package = resolve.push_str(&file, &std::fs::read_to_string(&file).unwrap()).unwrap();
    let version = resolve.packages[package].name.version.as_ref().unwrap().to_string();
    (version, interfaces(&resolve))
}

fn interfaces(resolve: &Resolve) -> BTreeMap<String, String> {
    let mut shapes = BTreeMap::new();
    for (_, interface) in resolve.interfaces.iter() {
        let Interface { name: Some(name), types, functions, .. } = interface else { continue };
        for (type_name, id) in types {
            shapes.insert(format!("{name}.{type_name}"), definition(resolve, *id));
        }
        for (function_name, function) in functions {
            shapes.insert(format!("{name}.{function_name}"), signature(resolve, function));
        }
    }
    shapes
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<_> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, shape(resolve, &param.ty)))
        .collect();
    let result = function.result.map(|result| format!(" -> {}", shape(resolve, &result)));
    format!("({}){}", parameters.join(", "), result.unwrap_or_default())
}

/// A type where it is used: by its name, if it has one.
fn shape(resolve: &Resolve, kind: &Type) -> String {
    let Type::Id(id) = kind else { return format!("{kind:?}").to_lowercase() };
    let definition_of = &resolve.types[*id];
    match (&definition_of.name, definition_of.owner) {
        (Some(name), TypeOwner::Interface(owner)) => {
            format!("{}.{name}", resolve.interfaces[owner].name.as_deref().unwrap_or_default())
        }
        _ => definition(resolve, *id),
    }
}

fn definition(resolve: &Resolve, id: TypeId) -> String {
    let of = |kind: &Type| shape(resolve, kind);
    let or_nothing = |kind: &Option<Type>| kind.as_ref().map_or_else(|| "_".to_owned(), of);
    let listed = |name: &str, items: Vec<String>| format!("{name} {{ {} }}", items.join(", "));
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            listed("record", fields.map(|it| format!("{}: {}", it.name, of(&it.ty))).collect())
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let case = |it: &wit_parser::Case| format!("{}({})", it.name, or_nothing(&it.ty));
            listed("variant", cases.map(case).collect())
        }
        TypeDefKind::Enum(all) => {
            listed("enum", all.cases.iter().map(|it| it.name.clone()).collect())
        }
        TypeDefKind::Flags(all) => {
            listed("flags", all.flags.iter().map(|it| it.name.clone()).collect())
        }
        TypeDefKind::Tuple(tuple) => listed("tuple", tuple.types.iter().map(of).collect()),
        TypeDefKind::Option(inner) => format!("option<{}>", of(inner)),
        TypeDefKind::List(inner) => format!("list<{}>", of(inner)),
        TypeDefKind::Result(result) => {
            format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err))
        }
        TypeDefKind::Handle(Handle::Own(id)) => of(&Type::Id(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", of(&Type::Id(*id))),
        TypeDefKind::Resource => "resource".to_owned(),
        TypeDefKind::Type(alias) => of(alias),
        other => panic!("the contract has no {other:?} so far: teach this test"),
    }
}
