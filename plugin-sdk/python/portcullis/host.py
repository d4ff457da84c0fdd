"""What the gateway offers, by the name of the interface.

The built plugin puts the real ones in, a test its fakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_offered: dict[str, Any] = {}


class GatewayError(Exception):
    """The gateway did not do what it was asked to."""

    def __init__(self, call: str, reason: str, detail: str | None = None) -> None:
        super().__init__(f"{call}: {reason}" + (f" ({detail})" if detail else ""))
        self.call = call
        """What was asked, for example `message.add_header`."""
        self.reason = reason
        """As in the contract, for example `denied`."""
        self.detail = detail


def offer(interfaces: Mapping[str, Any]) -> None:
    """Puts interfaces in."""
    _offered.clear()
    _offered.update(interfaces)


def host(name: str) -> Any:
    """An interface of the gateway."""
    try:
        return _offered[name]
    except KeyError:
        message = f"no {name} here: a test begins with FakeGateway()"
        raise RuntimeError(message) from None


class ask:
    """Raises as a `GatewayError` what the gateway answers as an error."""

    def __init__(self, call: str) -> None:
        self.call = call

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None and kind.__name__ == "Err":
            raise gateway_error(self.call, error.value) from None


def gateway_error(call: str, value: Any) -> GatewayError:
    """An error of the contract (an enum's member, or a variant) as a `GatewayError`."""
    if hasattr(value, "name"):
        return GatewayError(call, value.name.lower().replace("_", "-"))
    return GatewayError(call, *case(value))


def case(value: Any) -> tuple[str, Any]:
    """The name and the payload of a variant: `KvError_TooLarge()` is `too-large`."""
    name = type(value).__name__.split("_", 1)[1]
    kebab = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return kebab.removeprefix("-"), getattr(value, "value", None)


def octets(value: str | bytes) -> bytes:
    """Text is UTF-8, with what `text` could not decode as it was."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def text(value: bytes) -> str:
    """Octets as text; what is no UTF-8 survives the way there and back, as in `email`."""
    return value.decode("utf-8", "surrogateescape")
