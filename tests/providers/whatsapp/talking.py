"""A provider's API that answers as a test says, and lines that lead to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import trio

from app.providers.deadlines import Deadlines
from app.providers.receivers import Receivers
from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import Letter, Recipient, TextContent
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.providers.whatsapp.twilio import Account, TwilioLine
from tests.providers.peer import Act, Line, Peer, open_peer

TOKEN: Final = "EAAtokenOfTheTenant0123"
AUTH_TOKEN: Final = "authTokenOfTheTenant0123"
KEY_SECRET: Final = "secretOfTheApiKey0123"
SID: Final = "AC00000000000000000000000000000001"
USER: Final = "+16505551234"
LETTER: Final = Letter(Recipient(USER, "US.1349"), TextContent("The parcel is on its way."), "row-1")
FAST: Final = Deadlines(connect_s=0.3, gap_s=0.3, error_body_s=0.3)


def answer(status: int, body: Any = None, *headers: bytes) -> bytes:
    """A response: JSON for a dict, bytes as they are, nothing for None."""
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    lines = [b"HTTP/1.1 %d x" % status, b"Content-Length: %d" % len(data), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


def says(*answers: bytes) -> Act:
    """These answers one after the other, over however many connections; then silence."""
    left = list(answers)

    async def act(line: Line) -> None:
        while left:
            await line.request()
            await line.send(left.pop(0))
        await line.request()
        await line.hold()

    return act


async def falls_silent(line: Line) -> None:
    await line.request()
    await line.hold()


async def breaks_after_reading(line: Line) -> None:
    await line.request()
    await line.reset()


async def breaks_before_reading(line: Line) -> None:
    """The request is there, and nobody has looked at it."""
    await trio.lowlevel.wait_readable(line.stream.socket)
    await line.reset()


@asynccontextmanager
async def to_meta(
    act: Act, *, token: str = TOKEN, inside: Receivers | None = None, outside: Receivers | None = None
) -> AsyncIterator[tuple[GraphLine, Peer]]:
    async with open_peer(act) as peer:
        upstream = Upstream(f"{peer.url}/v25.0", deadlines=FAST)
        files = Downloads(f"{peer.url}/v25.0", metas, inside=inside, outside=outside)
        yield GraphLine(upstream, files, phone_number_id="106540352242922", token=token), peer
        assert upstream.in_flight == 0
        await upstream.aclose()


@asynccontextmanager
async def to_twilio(
    act: Act,
    *,
    account: Account | None = None,
    callback: str = "https://ours.example/status/",
    outside: Receivers | None = None,
) -> AsyncIterator[tuple[TwilioLine, Peer]]:
    """The messaging host is the same one, under /messaging."""
    async with open_peer(act) as peer:
        upstream, messaging = (Upstream(f"{peer.url}{path}", deadlines=FAST) for path in ("", "/messaging"))
        yield (
            TwilioLine(
                *(upstream, messaging, Downloads(peer.url, twilios, outside=outside)),
                account=account or Account(SID, AUTH_TOKEN),
                from_number="+14155238886",
                status_callback=lambda reference: callback and callback + reference,
            ),
            peer,
        )
        assert upstream.in_flight == messaging.in_flight == 0
        await upstream.aclose()
        await messaging.aclose()


def parts(request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """(request line, headers by lower-case name, body)."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    named = (line.decode().partition(": ") for line in lines)
    return first, {name.lower(): value for name, _, value in named}, body


def sent_json(request: bytes) -> Any:
    return msgspec.json.decode(parts(request)[2])


def sent_form(request: bytes) -> list[tuple[str, str]]:
    return parse_qsl(parts(request)[2].decode(), keep_blank_values=True, strict_parsing=True)
