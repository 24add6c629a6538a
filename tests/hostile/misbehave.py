"""An ASGI application that misbehaves on request, and the diary in which it says what happened to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
BLOCK = b"x" * 65536


class Diary:
    """What happened, in order; tests wait for a word instead of sleeping."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._written = trio.lowlevel.ParkingLot()

    def write(self, word: str) -> None:
        self.words.append(word)
        self._written.unpark_all()

    async def until(self, word: str, times: int = 1) -> None:
        while self.words.count(word) < times:
            await self._written.park()


class Hostile:
    """An ASGI application; the path names what it does. It knows nothing but ASGI, like the gateway's own shell."""

    def __init__(self) -> None:
        self.diary = Diary()
        self.go = trio.Event()
        self.blocks_sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            name = scope["path"].strip("/")
            self.diary.write(f"{name} begun")
            await getattr(self, name)(receive, send)
        elif scope["type"] == "websocket":
            await self.echo(receive, send)
        else:
            await self.lifespan(receive, send)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            self.diary.write(kind)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def ok(self, receive: Receive, send: Send) -> None:
        size = await read_body(receive)
        await answer(send, 200, b"ok %d" % size)

    async def readyz(self, receive: Receive, send: Send) -> None:
        """What a balancer asks."""
        await answer(send, 200, b"")

    async def early(self, receive: Receive, send: Send) -> None:
        """Refuses without reading the body."""
        await answer(send, 401, b"no key")
        self.diary.write("refused")

    async def empty(self, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await answer(send, 200, b"")

    async def nothing(self, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await start(send, 204)
        await send({"type": "http.response.body"})

    async def wait(self, receive: Receive, send: Send) -> None:
        """Waits for the client to leave."""
        await read_body(receive)
        self.diary.write((await receive())["type"])

    async def deaf(self, receive: Receive, send: Send) -> None:
        """Never asks whether the client is still there."""
        try:
            await trio.sleep_forever()
        finally:
            self.diary.write("cancelled")

    async def head(self, receive: Receive, send: Send) -> None:
        """Sends its head, then waits."""
        await start(send, 200, (b"content-length", b"4"))
        await self.go.wait()
        await send({"type": "http.response.body", "body": b"body"})

    async def stream(self, receive: Receive, send: Send) -> None:
        """One chunk, then the rest when the test says go; settles whatever happens."""
        try:
            await start(send, 200)
            await send({"type": "http.response.body", "body": b"first ", "more_body": True})
            await self.go.wait()
            await send({"type": "http.response.body", "body": b"last"})
            self.diary.write("finished")
        finally:
            with trio.move_on_after(5, shield=True):
                await trio.lowlevel.checkpoint()
                self.diary.write("settled")

    async def flood(self, receive: Receive, send: Send) -> None:
        """Sends without end until the client leaves."""
        await start(send, 200)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.diary.write("http.disconnect")
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            while True:
                await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
                self.blocks_sent += 1

    async def boom(self, receive: Receive, send: Send) -> None:
        raise ValueError("secret words")

    async def break_off(self, receive: Receive, send: Send) -> None:
        await start(send, 200)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise ValueError("secret words")

    async def break_later(self, receive: Receive, send: Send) -> None:
        await start(send, 200)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.go.wait()
        raise ValueError("secret words")

    async def echo(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            self.diary.write(event["type"])
            if event["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            elif event["type"] == "websocket.disconnect":
                return
            else:
                await send({"type": "websocket.send", "text": event["text"]})


async def read_body(receive: Receive) -> int:
    size = 0
    while True:
        event = await receive()
        size += len(event.get("body", b""))
        if not event.get("more_body"):
            return size


async def start(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def answer(send: Send, status: int, body: bytes) -> None:
    await start(send, status, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.body", "body": body})
