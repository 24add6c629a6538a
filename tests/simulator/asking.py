"""How the tests ask the simulator: purely, script in hand, or over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio

from scripts.simulator.book import Book, Record
from scripts.simulator.chat import Asked, chat_completion
from scripts.simulator.dialects.cloudflare import CLOUDFLARE
from scripts.simulator.dialects.dialect import Dialect
from scripts.simulator.dialects.openai import OPENAI
from scripts.simulator.dialects.openrouter import OPENROUTER
from scripts.simulator.dialects.sarvam import SARVAM
from scripts.simulator.routes import Request, ask, find_surface
from scripts.simulator.script import Script, Step
from scripts.simulator.settings import Settings

Json = dict[str, Any]

DIALECTS = (OPENROUTER, CLOUDFLARE, SARVAM, OPENAI)
PATHS = {
    "openrouter": "/openrouter/api/v1/chat/completions",
    "cloudflare": "/cloudflare/client/v4/accounts/acc1/ai/v1/chat/completions",
    "sarvam": "/sarvam/v1/chat/completions",
    "openai": "/openai/v1/chat/completions",
}
#: What any provider accepts.
KEYS = dict.fromkeys(("authorization", "api-subscription-key", "x-api-key", "x-subscription-token"), "Bearer a-key")


def credential(dialect: Dialect) -> dict[str, str]:
    """A header that this dialect accepts."""
    assert dialect.key_header is not None
    return {dialect.key_header: "Bearer secret-key" if dialect.key_header == "authorization" else "secret-key"}


def chat_body(text: str = "hi", **fields: Any) -> Json:
    return {"model": "m1", "messages": [{"role": "user", "content": text}], **fields}


def a_record(dialect: str = "openai", path: str = "/") -> Record:
    return Record(n=1, dialect=dialect, path=path, request_headers={}, wall=1_790_000_000.5, accepted=0.0)


@dataclass
class Asker:
    """Asks for scripts without any server; the book lives on between two questions."""

    dialect: Dialect
    book: Book
    settings: Settings

    def __call__(self, body: Json | bytes, headers: Mapping[str, str] | None = None) -> tuple[Script, Record]:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        record = a_record(self.dialect.name)
        sent = credential(self.dialect) if headers is None else headers
        return chat_completion(Asked(self.dialect, sent, {}, raw, record, self.book, self.settings)), record


def asker(dialect: Dialect = OPENAI, settings: Settings | None = None) -> Asker:
    return Asker(dialect, Book(), settings or Settings())


def ask_surface(
    target: str, body: Json | bytes = b"", headers: Mapping[str, str] | None = None, *, book: Book | None = None
) -> tuple[Script, Record]:
    """The answer of whichever provider's route this is, without any server; without a body it is a GET."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = Request("POST" if raw else "GET", target, KEYS | dict(headers or {}), raw)
    surface = find_surface(request)
    assert surface is not None
    record = a_record(surface.dialect.name, request.path)
    return ask(surface, request, record, book or Book(), Settings()), record


def body_of(script: Script) -> Json:
    decoded: Json = msgspec.json.decode(b"".join(step.data for step in script.steps))
    return decoded


def events_of(steps: list[Step]) -> list[str]:
    """The data of every event, `[DONE]` included; comments are left out."""
    text = b"".join(step.data for step in steps).decode()
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event.startswith("data: ")]


def chunks_of(script: Script) -> list[Json]:
    return [msgspec.json.decode(event) for event in events_of(list(script.steps)) if event != "[DONE]"]


def contents(chunks: list[Json], field: str = "content", choice: int = 0) -> list[str]:
    """The non-empty texts of one choice, one per chunk."""
    deltas = [entry["delta"] for chunk in chunks for entry in chunk["choices"] if entry["index"] == choice]
    return [delta[field] for delta in deltas if delta.get(field)]


@dataclass
class Running:
    """A simulator on loopback."""

    url: str
    book: Book

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[trio.SocketStream]:
        address = urlsplit(self.url)
        stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
        async with stream:
            yield stream

    async def ended(self, tag: str) -> Record:
        """The record with this tag, once its request is over; fails after 5 s."""
        with trio.fail_after(5):
            return await self.book.ended(tag)


def post(body: Json, path: str = PATHS["openai"], headers: Mapping[str, str] | None = None) -> bytes:
    """A request's bytes."""
    raw = msgspec.json.encode(body)
    lines = {"host": "simulator", "authorization": "Bearer k", "content-length": str(len(raw)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + raw


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    """What arrives up to the read that brings the mark; fails after 5 s and at the end of the connection."""
    seen = b""
    with trio.fail_after(5):
        while mark not in seen:
            data = await stream.receive_some()
            assert data, f"the connection ended after {seen!r}"
            seen += data
    return seen


async def read_to_end(stream: trio.SocketStream) -> tuple[bytes, bool]:
    """All that arrives, and whether the connection ended by reset."""
    seen = b""
    with trio.fail_after(5):
        try:
            while data := await stream.receive_some():
                seen += data
        except trio.BrokenResourceError:
            return seen, True
    return seen, False
