"""Metrics that the plugin names: `portcullis_plugin_<plugin>_<name>`."""

from __future__ import annotations

from .host import host


def add(name: str, by: int = 1, /, **label: str) -> None:
    """Adds to a counter. At most one label."""
    if len(label) > 1:
        raise TypeError("a counter has at most one label")
    host("metrics").add(name, by, next(iter(label.items()), None))


def observe(name: str, value: float) -> None:
    """Adds a value to a histogram."""
    host("metrics").observe(name, float(value))
