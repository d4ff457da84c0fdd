"""Builds a plugin:  python3 -m portcullis.build [FOLDER] [--output FILE]

FOLDER (by default this one) has a pyproject.toml with a name; the plugin is the class in the module
of that name. Without --output it becomes NAME.wasm in FOLDER. What `pip install --target packages`
has put there is built in.

  PORTCULLIS_TOOLS    where the tools are kept; by default ~/.cache/portcullis
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

SDK = Path(__file__).resolve().parent


def say(text: str) -> None:
    print(f"portcullis: {text}", file=sys.stderr)


def tools() -> Path:
    """componentize-py, which is installed the first time."""
    requirements = SDK / "requirements.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes() + version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portcullis"
    kept = Path(os.environ.get("PORTCULLIS_TOOLS") or cache)
    venv = kept / f"python-{digest}"
    done = venv / "complete"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / f"python-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            say(f"installing componentize-py into {venv}")
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
            pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--requirement", requirements], check=True, stdout=sys.stderr)
            done.touch()
    return venv / "bin" / "componentize-py"


def world(found: dict[str, Any]) -> str:
    """The contract with a world that has just what the plugin has and needs."""
    imports = ["types", *(name.replace("_", "-") for name in found["interfaces"])]
    exports = ["lifecycle", *(f"on-{hook}" for hook in found["hooks"])]
    lines = [f"    import {name};" for name in imports] + [f"    export {name};" for name in exports]
    contract = (SDK / "filter.wit").read_text()
    return "\n".join([contract, "world built {", *lines, "}", ""])


def entry(module: str, found: dict[str, Any]) -> str:
    """The module that exports what the world wants."""
    interfaces = ["types", *found["interfaces"]]
    offered = ", ".join(f"{name!r}: imports.{name}" for name in interfaces)
    lines = [
        "from wit_world import imports",
        *(f"import wit_world.imports.{name}" for name in interfaces),
        "from wit_world.exports.lifecycle import Subscription",
        "from componentize_py_types import Err",
        "from portcullis.guest import Guest",
        f"import {module}",
        f"_guest = Guest({module}, {{{offered}}}, Err)",
        "Lifecycle = _guest.lifecycle(Subscription)",
    ]
    for hook in found["hooks"]:
        answers = ""
        if hook == "auth":
            lines.append("import wit_world.exports.on_auth")
            answers = ", wit_world.exports.on_auth"
        lines.append(f"On{hook.capitalize()} = _guest.hook({hook!r}{answers})")
    return "\n".join(lines) + "\n"


def stage(project: Path, folder: Path) -> None:
    """What goes into the plugin: its own modules beside the SDK, links followed."""
    mine = shutil.ignore_patterns(
        ".*", "__pycache__", "packages", "portcullis", "test_*", "tests", "*.wasm"
    )
    shutil.copytree(project, folder, ignore=mine, dirs_exist_ok=True)
    theirs = shutil.ignore_patterns("__pycache__", "build.py", "look.py", "testing.py")
    shutil.copytree(SDK, folder / "portcullis", ignore=theirs)


def build(project: Path, output: Path | None) -> None:
    name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]
    module = name.replace("-", "_")
    packages = project / "packages"
    paths = [project, SDK.parent, packages]
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    look = [sys.executable, "-m", "portcullis.look", module]
    # The plugin may print, too.
    *_, last = subprocess.run(look, env=there, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    found = json.loads(last)
    file = (output or project / f"{name}.wasm").resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        wit, app = Path(work) / "built.wit", Path(work) / "app"
        stage(project, app)
        wit.write_text(world(found))
        (app / "portcullis_entry.py").write_text(entry(module, found))
        half = file.with_name(f".{file.name}.new")
        command: list[str | Path] = [tools(), "--quiet", "--wit-path", wit, "--world", "built"]
        command += ["componentize", "portcullis_entry", "--python-path", app, "--output", half]
        if packages.is_dir():
            command += ["--python-path", packages]
        subprocess.run(command, check=True, stdout=sys.stderr)
        # In one step, so that a gateway never reads half a plugin.
        half.replace(file)
    say(f"{file}: {file.stat().st_size} octets, hooks {', '.join(found['hooks'])}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m portcullis.build", description="Builds a plugin.")
    parser.add_argument("folder", nargs="?", default=".", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    try:
        build(given.folder.resolve(), given.output)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except (OSError, KeyError) as error:
        sys.exit(f"portcullis: {error}")


if __name__ == "__main__":
    main()
