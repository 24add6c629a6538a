"""A Graph API that answers at once and notes when each message came: the bench's own end of WhatsApp."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import h11
import msgspec
import trio

READ_BYTES: Final = 64 * 1024
HEAD: Final = [("content-type", "application/json")]
NUMBER: Final = {
    **{"display_phone_number": "+1 555-000-1111", "verified_name": "Bench", "id": "1065"},
    "throughput": {"level": "HIGH"},
}


@dataclass(slots=True)
class Graph:
    """`came` says when a text reached which phone; `typing` counts what else there was."""

    came: dict[str, list[float]] = field(default_factory=dict)
    typing: int = 0
    arrived: trio.Event = field(default_factory=trio.Event)

    async def serve(self, port: int, task_status: trio.TaskStatus[None]) -> None:
        # Its task status tells of the listeners, and nobody asks for them.
        await trio.serve_tcp(self._connection, port, host="127.0.0.1", task_status=task_status)  # type: ignore[arg-type]

    @property
    def texts(self) -> int:
        return sum(map(len, self.came.values()))

    async def until(self, count: int, within_s: float) -> bool:
        """Whether so many texts have come in time."""
        with trio.move_on_after(within_s):
            while self.texts < count:
                self.arrived = trio.Event()
                await self.arrived.wait()
        return self.texts >= count

    async def _connection(self, stream: trio.SocketStream) -> None:
        peer = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(stream, peer):
                peer.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            return

    async def _exchange(self, stream: trio.SocketStream, peer: h11.Connection) -> bool:
        method, body = b"", bytearray()
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                peer.receive_data(await stream.receive_some(READ_BYTES))
            elif isinstance(event, h11.Request):
                method = event.method
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        reply = msgspec.json.encode(NUMBER if method == b"GET" else self._take(msgspec.json.decode(bytes(body))))
        head = h11.Response(status_code=200, headers=[*HEAD, ("content-length", str(len(reply)))])
        parts = [peer.send(head), peer.send(h11.Data(data=reply)), peer.send(h11.EndOfMessage())]
        await stream.send_all(b"".join(part or b"" for part in parts))
        return True

    def _take(self, sent: dict[str, Any]) -> dict[str, Any]:
        if "status" in sent:
            self.typing += 1
            return {"success": True}
        phone = str(sent.get("to", "")).lstrip("+")
        self.came.setdefault(phone, []).append(perf_counter())
        self.arrived.set()
        return {"messaging_product": "whatsapp", "messages": [{"id": f"wamid.out.{self.texts}"}]}
