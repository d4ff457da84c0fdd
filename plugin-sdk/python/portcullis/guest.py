"""What the built plugin exports calls this; an author has nothing to do with it."""

from __future__ import annotations

# What codecs need cannot be imported any more once the plugin runs.
import encodings.ascii  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.iso8859_1  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.punycode  # noqa: F401
import io
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from . import log
from .content import Message
from .envelope import Credentials, Recipient, Session, Transaction
from .host import offer
from .plugin import HOOKS, make, only_plugin, wants
from .settings import SettingsError
from .verdict import Authentication, Reply, Verdict

_SHOWN: dict[str, Callable[[Any], Any]] = {
    "session": Session,
    "transaction": Transaction,
    "message": Message,
    "recipient": Recipient.of,
    "credentials": lambda raw: Credentials(raw.mechanism, raw.user, raw.authorization, raw.secret),
}


class Guest:
    """A plugin behind the contract."""

    def __init__(self, module: Any, interfaces: dict[str, Any], refusal: type) -> None:
        offer(interfaces)
        self._types = interfaces["types"]
        self._refusal = refusal
        self._kind = only_plugin(module)
        self._wants = wants(self._kind)
        self._plugin: Any = None
        self._is_seeded = False
        sys.stdout = sys.stderr = _Printed()

    def lifecycle(self, subscription: type) -> type:
        guest = self

        class Lifecycle:
            def configure(self, settings: str) -> Any:
                try:
                    guest._plugin = make(guest._kind, json.loads(settings))
                    return subscription(list(guest._plugin.skip()))
                except SettingsError as error:
                    text = str(error)
                except Exception as error:
                    report(error)
                    text = describe(error)
                raise guest._refusal(text)

        return Lifecycle

    def hook(self, name: str, answers: Any = None) -> type:
        guest = self

        class Hook:
            def handle(self, *given: Any) -> Any:
                try:
                    return guest._ask(name, answers, given)
                except BaseException as error:
                    report(error)
                # The report is in the log; a trap from here adds nothing to it.
                os.abort()

        return Hook

    def _ask(self, hook: str, answers: Any, given: tuple[Any, ...]) -> Any:
        if not self._is_seeded:
            _seed()
            self._is_seeded = True
        named = dict(zip(HOOKS[hook], given, strict=True))
        wanted = {
            name: _SHOWN[name](named[name]) if name in _SHOWN else named[name]
            for name in self._wants[hook]
        }
        return self._lowered(hook, answers, getattr(self._plugin, hook)(**wanted))

    def _lowered(self, hook: str, answers: Any, answer: Any) -> Any:
        if hook == "outcome":
            return None
        wanted: Any = Verdict
        prefix, module = "Verdict", self._types
        if hook == "auth":
            wanted, prefix, module = Authentication, "Answer", answers
        if not isinstance(answer, wanted):
            name = wanted.__name__
            raise TypeError(f"{hook} returned {answer!r}, not a {name} such as {name}.NEXT")
        case = getattr(module, f"{prefix}_{answer.kind.capitalize()}")
        values = [getattr(answer, name, None) for name in ("reply", "reason", "identity")]
        return case(*(self._raw(value) for value in values if value is not None))

    def _raw(self, value: Any) -> Any:
        if isinstance(value, Reply):
            return self._types.Reply(value.code, value.status, value.text)
        return value


# Copies are made of a plugin that is seeded already, all with the same numbers.
def _seed() -> None:
    random = sys.modules.get("random")
    if random is not None:
        random.seed(int.from_bytes(os.urandom(16), "big"))


def report(error: BaseException) -> None:
    """Says in the log what was raised, and where."""
    stack = " < ".join(reversed(_frames(error)))
    log.error(describe(error), **({"stack": stack} if stack else {}))


def describe(error: BaseException) -> str:
    """What was raised, and the innermost place in the author's own code."""
    frames = _frames(error)
    text = f"{type(error).__name__}: {error}"
    return f"{text} at {frames[-1]}" if frames else text


def _frames(error: BaseException) -> list[str]:
    # Source is not there any more to be quoted.
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not traceback.tb_frame.f_globals.get("__name__", "").startswith("portcullis."):
            file = os.path.basename(code.co_filename)
            frames.append(f"{code.co_name} {file}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return frames[-8:]


class _Printed(io.TextIOBase):
    """What is printed is a line of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                log.info(line)
        return len(text)
