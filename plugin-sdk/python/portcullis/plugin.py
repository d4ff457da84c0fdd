"""What a plugin's class is made from."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable
from typing import Any

from .settings import SettingsError, decode

_ENVELOPE = ("session", "transaction")
_CONTENT = (*_ENVELOPE, "message")

HOOKS: dict[str, tuple[str, ...]] = {
    "connect": ("session",),
    "helo": ("session", "name"),
    "auth": ("session", "credentials"),
    "mail": _ENVELOPE,
    "rcpt": (*_ENVELOPE, "recipient"),
    "data": _ENVELOPE,
    "headers": _CONTENT,
    "message": _CONTENT,
    "outcome": ("events",),
}
"""Each hook, and what its method may ask for."""


class Plugin:
    """Write the hooks that you want as methods, and name what you look at: `rcpt(self, recipient)`.

    A dataclass has its settings as fields; otherwise `__init__` gets them, as a dataclass if that is
    how its parameter is annotated.
    """

    def skip(self) -> Iterable[str]:
        """The hooks that these settings do not need. They cost nothing then."""
        return ()


def only_plugin(module: Any) -> type[Plugin]:
    """The class that a module defines."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Plugin)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} defines {len(found)} subclasses of Plugin, not one")
    return found[0]


def wants(kind: type[Plugin]) -> dict[str, tuple[str, ...]]:
    """The hooks that a class has, each with the names that it asks for."""
    found = {hook: _asked(kind, hook) for hook in HOOKS if callable(getattr(kind, hook, None))}
    if not found:
        raise TypeError(f"{kind.__name__} has no hook: {', '.join(HOOKS)}")
    return found


def _asked(kind: type[Plugin], hook: str) -> tuple[str, ...]:
    _, *names = inspect.signature(getattr(kind, hook)).parameters
    for name in names:
        if name not in HOOKS[hook]:
            there = ", ".join(HOOKS[hook])
            raise TypeError(f"{kind.__name__}.{hook} asks for {name!r}; there is {there}")
    return tuple(names)


def make(kind: Any, settings: Any) -> Any:
    """A plugin with its settings."""
    if dataclasses.is_dataclass(kind):
        return decode(kind, settings)
    parameters = list(inspect.signature(kind).parameters)
    if not parameters:
        if settings:
            raise SettingsError(f"{next(iter(settings))}: unknown key, there are none")
        return kind()
    hint = typing.get_type_hints(kind.__init__).get(parameters[0], Any)
    return kind(decode(hint, settings) if dataclasses.is_dataclass(hint) else settings)
