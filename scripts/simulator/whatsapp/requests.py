"""What a provider's HTTP asks for, read: credentials, forms, files; and an `Answer` as a script to be played."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from email import message_from_bytes
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from scripts.simulator.routes import Request
from scripts.simulator.script import Script, Step, json_script
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.files import File
from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.state import Number

_NOT_JSON: Final = b"<!DOCTYPE html><html><body>oops</body></html>"


class Call(NamedTuple):
    """A request for one of the routes; `words` are what stood for the names in its path."""

    phones: Phones
    request: Request
    words: Mapping[str, str]

    @property
    def now(self) -> float:
        return self.phones.timeline.now()

    @property
    def base_url(self) -> str:
        """Where this client reaches the simulator."""
        return f"http://{self.request.headers.get('host', 'localhost')}"


class Route(NamedTuple):
    """`{word}` in its path stands for any one segment."""

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Script]]


class Part(NamedTuple):
    """A field of a multipart form."""

    data: bytes
    media_type: str
    filename: str


def bearer(request: Request) -> str:
    """The token; "" when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: Request) -> tuple[str, str]:
    """User and password; empty when there are none."""
    scheme, _, packed = request.headers.get("authorization", "").partition(" ")
    try:
        user, _, password = b64decode(packed, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def form(request: Request) -> list[tuple[str, str]]:
    """The fields of a urlencoded body, in order."""
    return parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)


def multipart(request: Request) -> dict[str, Part]:
    """The parts of a multipart body by name."""
    head = f"content-type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    parts = {}
    for part in message_from_bytes(head + request.body).walk():
        name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            declared = part.get_content_type() if part.get("content-type") else ""
            parts[name] = Part(data, declared, part.get_filename() or "")
    return parts


def script_of(answer: Answer) -> Script:
    """How the answer goes over the wire; one without payload has no body."""
    match answer.manner:
        case "hang":
            return Script(silent=True, ending="hang", fault=True)
        case "reset":
            return Script(silent=True, ending="rst", delay_s=answer.delay_s, fault=True)
        case "empty_500":
            return Script(status=500, headers=(), length=0, delay_s=answer.delay_s, fault=True)
        case "garbage":
            headers = (("content-type", "text/html"),)
            step = (Step(_NOT_JSON),)
            return Script(headers=headers, steps=step, length=len(_NOT_JSON), delay_s=answer.delay_s, fault=True)
        case _:
            return replace(json_script(answer.payload, answer.status), delay_s=answer.delay_s)


def file_or_fault(call: Call, number: Number, file: File) -> Script:
    """The file, or what an order makes of its download: 404 where it says nothing else."""
    order = number.orders.take("download")
    if order is not None and order.fault != "slow":
        manner = order.what.manner
        return empty_script(404) if manner in ("refuse", "answer") else script_of(Answer(200, None, manner))
    number.count("downloads")
    headers, step = (("content-type", file.media_type),), (Step(file.data),)
    return Script(headers=headers, steps=step, length=len(file.data), delay_s=order.delay_s if order else 0.0)


def empty_script(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Script:
    return Script(status=status, headers=headers, length=0, fault=status >= 400)
