"""Webhooks as Meta sends them, posted at a steady pace whatever becomes of those before."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Final

import h11
import msgspec
import trio

from scripts.bench.questions import HOST

READ_BYTES: Final = 64 * 1024
GOOD: Final = 200


@dataclass(slots=True)
class Acks:
    """Seconds from when a webhook was due to its 200, and what went wrong."""

    waits: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the webhooks of a number go, and what signs them; `account` is its phone number id."""

    port: int
    path: str
    app_secret: str
    account: str

    def request(self, body: bytes) -> bytes:
        digest = hmac.digest(self.app_secret.encode(), body, "sha256").hex()
        head = f"POST {self.path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}X-Hub-Signature-256: sha256={digest}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def envelope(self, messages: Sequence[dict[str, Any]]) -> bytes:
        """One body with a change for each message."""
        metadata = {"display_phone_number": "15550001111", "phone_number_id": self.account}
        changes = [
            {
                "field": "messages",
                "value": {
                    "messaging_product": "whatsapp",
                    "metadata": metadata,
                    "contacts": [{"profile": {"name": "Ravi"}, "wa_id": message["from"]}],
                    "messages": [message],
                },
            }
            for message in messages
        ]
        return msgspec.json.encode(
            {"object": "whatsapp_business_account", "entry": [{"id": "102", "changes": changes}]}
        )


def text(key: str, phone: str, words: str = "Do you have green tea? [tokens=20]") -> dict[str, Any]:
    """One message as Meta tells it, of this moment."""
    return {"id": f"wamid.{key}", "from": phone, "timestamp": str(int(time())), "type": "text", "text": {"body": words}}


async def post(gate: Gate, bodies: Sequence[bytes], per_s: float, connections: int = 32) -> Acks:
    """Post each body when it is due, over so many connections; one that is late does not move the others."""
    acks = Acks()
    send, receive = trio.open_memory_channel[tuple[float, bytes]](len(bodies))

    async def line(source: trio.MemoryReceiveChannel[tuple[float, bytes]]) -> None:
        stream = await trio.open_tcp_stream(HOST, gate.port)
        peer = h11.Connection(h11.CLIENT)
        async with stream:
            async for due, body in source:
                status = await _ask(stream, peer, gate.request(body))
                acks.waits.append(perf_counter() - due)
                if status != GOOD:
                    acks.errors += 1
                    acks.first_error = acks.first_error or f"status {status}"
                peer = h11.Connection(h11.CLIENT)

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(line, receive)
        began = perf_counter()
        with send:
            for number, body in enumerate(bodies):
                due = began + number / per_s
                await trio.sleep(max(0.0, due - perf_counter()))
                send.send_nowait((due, body))
    return acks


async def _ask(stream: trio.SocketStream, peer: h11.Connection, request: bytes) -> int:
    """The status of the answer, which is read to its end."""
    peer.send(h11.Request(method="POST", target="/", headers=[("host", HOST), ("content-length", "0")]))
    peer.send(h11.EndOfMessage())
    await stream.send_all(request)
    status = 0
    while True:
        event = peer.next_event()
        if event is h11.NEED_DATA:
            peer.receive_data(await stream.receive_some(READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status
