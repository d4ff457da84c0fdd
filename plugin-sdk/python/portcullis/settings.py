"""Settings as dataclasses."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


class SettingsError(Exception):
    """The operator's mistake; the text is what the operator reads."""


def decode(kind: Any, value: Any, place: str = "") -> Any:
    """A value of this type out of what JSON held: dataclasses, lists, mappings, optional ones.

    Raises `SettingsError` with the place of the mistake.
    """
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, place)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, place)
    if origin is typing.Literal:
        if value not in arguments:
            raise _mistake(place, f"expected {_alternatives(arguments)}")
        return value
    return _plain(origin or kind, arguments, value, place)


def _plain(kind: Any, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if kind in (set, frozenset, tuple):
        return kind(_plain(list, arguments, value, place))
    # In Python, true is an int.
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not fits:
        wanted = _KINDS.get(kind, kind.__name__)
        raise _mistake(place, f"expected {wanted}, found {_KINDS.get(type(value), 'nothing')}")
    if kind is list and arguments:
        return [decode(arguments[0], item, f"{place}[{at}]") for at, item in enumerate(value)]
    if kind is dict and arguments:
        return {key: decode(arguments[1], item, _inside(place, key)) for key, item in value.items()}
    return value


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise _mistake(place, f"expected a mapping, found {_KINDS.get(type(value), 'nothing')}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in value:
        if key not in fields:
            raise _mistake(_inside(place, key), f"unknown key, expected {_alternatives(fields)}")
    given = {key: decode(hints[key], item, _inside(place, key)) for key, item in value.items()}
    for name, field in fields.items():
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in given and not has_default:
            raise _mistake(_inside(place, name), "missing")
    return kind(**given)


def _union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    mistake: SettingsError | None = None
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return decode(kind, value, place)
        except SettingsError as error:
            mistake = mistake or error
    raise mistake or _mistake(place, "expected nothing")


def _mistake(place: str, text: str) -> SettingsError:
    return SettingsError(f"{place}: {text}" if place else text)


def _inside(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _alternatives(values: Any) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last


_KINDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
