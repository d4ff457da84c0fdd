"""Prints what a plugin has and needs; in a process of its own, for the plugin's code runs here."""

from __future__ import annotations

import importlib
import json
import sys

from .plugin import only_plugin, wants

_INTERFACES = (
    "log",
    "metrics",
    "clock",
    "random",
    "dns",
    "kv",
    "http",
    "streams",
    "upstreams",
    "mail_auth",
)


def main() -> None:
    hooks = wants(only_plugin(importlib.import_module(sys.argv[1])))
    interfaces = [name for name in _INTERFACES if f"portcullis.{name}" in sys.modules]
    print(json.dumps({"hooks": list(hooks), "interfaces": interfaces}))


if __name__ == "__main__":
    try:
        main()
    except TypeError as error:
        sys.exit(f"portcullis: {error}")
