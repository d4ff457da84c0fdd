//! Rust projects: rustup's wasm target, or where that is not to be had Debian's compiler with the
//! source of the standard library, as in `plugins/build.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{BuildError, is_there, run};

pub(super) fn build(folder: &Path) -> Result<PathBuf, BuildError> {
    let project = Project::read(folder)?;
    let mut command = compiler(folder)?;
    run(command.current_dir(folder).args(["build", "--release", "--target", TARGET, "--lib"]))?;
    let crate_name = project.library.replace('-', "_");
    let built = project.target.join(TARGET).join("release").join(format!("{crate_name}.wasm"));
    let file = folder.join(format!("{}.wasm", project.package));
    // In one step, so that a gateway never reads half a plugin.
    let half = folder.join(format!(".{}.wasm.new", project.package));
    let copied = std::fs::copy(&built, &half).and_then(|_| std::fs::rename(&half, &file));
    copied.map_err(|error| BuildError::Other(format!("{}: {error}", built.display())))?;
    Ok(file)
}

/// What cargo says about a project.
struct Project {
    package: String,
    library: String,
    /// Where cargo puts what it builds.
    target: PathBuf,
}

impl Project {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        if !is_there("cargo") {
            return Err(BuildError::Missing { tool: "cargo", help: CARGO });
        }
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| BuildError::Other(format!("cargo: {error}")))?;
        if !output.status.success() {
            return Err(BuildError::Failed { command: "cargo metadata".to_owned() });
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| BuildError::Other(format!("cargo metadata: {error}")))?;
        Self::of(folder, &metadata).ok_or_else(|| {
            let help = "[lib] with crate-type = [\"cdylib\", \"rlib\"]";
            let manifest = folder.join("Cargo.toml");
            BuildError::Other(format!("{} makes no plugin: it needs {help}", manifest.display()))
        })
    }

    fn of(folder: &Path, metadata: &serde_json::Value) -> Option<Self> {
        let manifest = folder.join("Cargo.toml").canonicalize().ok()?;
        let packages = metadata["packages"].as_array()?;
        let own = packages.iter().find(|package| {
            package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
        })?;
        let is_library = |target: &&serde_json::Value| {
            let kinds = target["crate_types"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        };
        let library = own["targets"].as_array()?.iter().find(is_library)?;
        Some(Self {
            package: own["name"].as_str()?.to_owned(),
            library: library["name"].as_str()?.to_owned(),
            target: metadata["target_directory"].as_str()?.into(),
        })
    }
}

/// Cargo with a compiler that has the target, or that can make its standard library.
fn compiler(folder: &Path) -> Result<Command, BuildError> {
    if sysroot("rustc", folder).is_some_and(|sysroot| has_target(&sysroot)) {
        return Ok(Command::new("cargo"));
    }
    if is_there("rustup") {
        let added = run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder));
        if added.is_ok() && sysroot("rustc", folder).is_some_and(|sysroot| has_target(&sysroot)) {
            return Ok(Command::new("cargo"));
        }
    }
    debian(folder).ok_or(BuildError::Missing { tool: TARGET, help: NO_TARGET })
}

/// Debian ships the source of the standard library and not the target.
fn debian(folder: &Path) -> Option<Command> {
    let sysroot = sysroot("/usr/bin/rustc", folder)?;
    let has_source = sysroot.join("lib/rustlib/src/rust/library").is_dir();
    if !has_source || !Path::new("/usr/bin/cargo").is_file() {
        return None;
    }
    let mut command = Command::new("/usr/bin/cargo");
    command
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker(&sysroot)?)
        .arg("-Zbuild-std=std,panic_abort");
    Some(command)
}

/// A linker that knows wasm: lld's own names, then what lies beside the compiler and LLVM.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    if let Some(found) = ["rust-lld", "wasm-ld", "lld"].into_iter().find(|name| is_there(name)) {
        return Some(found.into());
    }
    let below = |folder: &Path, rest: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path().join(rest)).collect()
    };
    let mut places = below(&sysroot.join("lib/rustlib"), "bin/rust-lld");
    places.extend(below(Path::new("/usr/lib"), "bin/wasm-ld"));
    places.into_iter().find(|place| place.is_file())
}

fn sysroot(rustc: &str, folder: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).current_dir(folder).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().into())
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

/// What plugins are built for.
const TARGET: &str = "wasm32-unknown-unknown";

const CARGO: &str =
    "install Rust: https://rustup.rs, or \"apt-get install rustc-web cargo-web rust-web-src lld\"";

const NO_TARGET: &str = "\"rustup target add wasm32-unknown-unknown\", or on Debian and Ubuntu \
                         \"apt-get install rustc-web cargo-web rust-web-src lld\"";
