//! A compiler of C for wasm: Zig's, which Python's package index has for all systems.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BuildError, is_there, run};
use crate::config;

/// Tells make where the compiler is. Unless there is one, Zig is installed, once, where the other
/// languages' SDKs keep their tools.
pub(super) fn provide(make: &mut Command) -> Result<(), BuildError> {
    let given = |name| std::env::var_os(name).is_some();
    if given("WASM_CC") || given("WASI_SDK_PATH") || is_there("zig") {
        return Ok(());
    }
    let kept = std::env::var_os("PORTCULLIS_TOOLS").map(PathBuf::from);
    let venv = kept.unwrap_or_else(config::cache_directory).join("zig");
    let python = venv.join("bin/python3");
    if !has_zig(&python) {
        if !is_there("python3") {
            return Err(BuildError::Missing { tool: "a C compiler for wasm32-wasi", help: HELP });
        }
        eprintln!("portcullis: installing Zig {VERSION} into {}", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let install = ["install", "--quiet", "--disable-pip-version-check"];
        let package = format!("ziglang=={VERSION}");
        run(Command::new(venv.join("bin/pip")).args(install).arg(package))?;
    }
    let compiler = format!("{} -m ziglang cc --target=wasm32-wasi", python.display());
    make.arg(format!("WASM_CC={compiler}"));
    Ok(())
}

fn has_zig(python: &Path) -> bool {
    let asked = Command::new(python).args(["-m", "ziglang", "version"]).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == VERSION)
}

/// What the SDK is tested with.
const VERSION: &str = "0.17.1";

const HELP: &str = "\"apt-get install python3 python3-venv\" and it is installed by itself; or install \
                    Zig (https://ziglang.org), or unpack a WASI SDK \
                    (https://github.com/WebAssembly/wasi-sdk) and set WASI_SDK_PATH";
