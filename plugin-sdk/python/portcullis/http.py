"""HTTP requests to origins that the configuration names. Grant `http: [origins]`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .content import Reader
from .host import GatewayError, ask, gateway_error, host, octets, text


@dataclass(frozen=True)
class Request:
    url: str
    method: str = "GET"
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    body: str | bytes = b""
    timeout_ms: int | None = None

    def _raw(self) -> Any:
        headers = [(name, octets(value)) for name, value in self.headers.items()]
        return host("http").Request(
            self.method, self.url, headers, octets(self.body), self.timeout_ms
        )


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Any:
        return json.loads(self.body)


def _response(raw: Any) -> Response:
    return Response(raw.status, [(name, text(value)) for name, value in raw.headers], raw.body)


def send(request: Request) -> Response:
    """One request."""
    answer = send_all([request])[0]
    if isinstance(answer, GatewayError):
        raise answer
    return answer


def send_all(requests: Iterable[Request]) -> list[Response | GatewayError]:
    """All at once; in the order of the requests, a failure is an error among the answers."""
    answers = host("http").send([request._raw() for request in requests])
    return [
        _response(answer.value)
        if type(answer).__name__ == "Ok"
        else gateway_error("http.send", answer.value)
        for answer in answers
    ]


def send_content(request: Request, reader: Reader) -> Response:
    """One request whose body is what the reader has left."""
    with ask("http.send_content"):
        return _response(host("http").send_content(request._raw(), reader.raw))
