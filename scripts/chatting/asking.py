"""JSON over HTTP with the standard library alone: what commands ask of a gateway and of the simulator."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from app.commands import Mendable

ANSWER_S: Final = 30.0
#: A gateway on this machine may show a certificate that it has signed itself.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Unreachable(Mendable):
    """Nobody answers there, or it broke off."""


class Refused(Mendable):
    """An answer that is no success; the text says whose it is and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Door:
    """A server's address, without a slash at its end, and the key that opens it. Every question raises Unreachable and
    Refused; no proxy is asked. It blocks: call it in a thread.
    """

    url: str
    key: str = ""

    def get(self, path: str, *, within_s: float = ANSWER_S, **query: str | float) -> Any:
        return self.ask("GET", f"{path}?{urlencode(query)}" if query else path, within_s=within_s)

    def post(self, path: str, body: object = None, *, within_s: float = ANSWER_S) -> Any:
        return self.ask("POST", path, body, within_s=within_s)

    def put(self, path: str, body: object) -> Any:
        return self.ask("PUT", path, body)

    def ask(self, method: str, path: str, body: object = None, *, within_s: float = ANSWER_S) -> Any:
        """The JSON of the answer; None when it is empty."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= {"content-type": "application/json"} if data is not None else {}
        try:
            with closing(self._connection(within_s)) as connection:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.url} does not answer ({str(error) or type(error).__name__}).") from None
        answer = _decoded(text)
        if not 200 <= response.status < 300:
            raise Refused(response.status, f"{method} {self.url}{path}: {response.status}: {_reason(answer)}")
        return answer

    def _connection(self, within_s: float) -> http.client.HTTPConnection:
        url = urlsplit(self.url)
        host = url.hostname or ""
        if url.scheme != "https":
            return http.client.HTTPConnection(host, url.port, timeout=within_s)
        context = ssl.create_default_context()
        if host in LOOPBACK:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(host, url.port, timeout=within_s, context=context)


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _reason(answer: Any) -> str:
    """The words of the gateway's errors, or of the simulator's."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else "no reason given"
