"""Plays a script on a socket: sleeps to each step's time, writes, and stamps the record with what was handed over."""

from __future__ import annotations

from collections.abc import Awaitable
from http.client import responses
from typing import Protocol

import h11
import trio

from scripts.simulator.book import Book, Record
from scripts.simulator.script import Script, Step


class Sender(Protocol):
    """The side of a socket that a player needs: hands over some of the bytes and says how many."""

    def send(self, data: bytes, /) -> Awaitable[int]: ...


class Player:
    """Writes one answer. Steps due by now leave in one write; an answer without pace is one write, headers included."""

    def __init__(self, sock: Sender, http: h11.Connection, record: Record, book: Book) -> None:
        self._sock = sock
        self._http = http
        self._record = record
        self._book = book
        self._pending: list[Step] = []
        self._head = b""

    async def play(self, script: Script) -> None:
        """Returns when all is written; under the ending `hang` never. Raises OSError when the peer is gone."""
        if script.delay_s:
            await trio.sleep(script.delay_s)
        if script.silent and script.ending in ("fin", "rst"):
            return
        if script.silent:
            await trio.sleep_forever()
        self._record.status = script.status
        self._head = self._opened(script)
        start = trio.current_time()
        for step in script.steps:
            if step.at_s and start + step.at_s > trio.current_time():
                await self._flush(script)
                await trio.sleep_until(start + step.at_s)
            self._pending.append(step)
        await self._flush(script, last=script.ending == "end")
        if script.ending == "hang":
            await trio.sleep_forever()
        if not script.fault:
            self._record.finished = self._book.now()

    def _opened(self, script: Script) -> bytes:
        framing = ("transfer-encoding", "chunked") if script.length is None else ("content-length", str(script.length))
        reason = responses.get(script.status, "")
        head = h11.Response(status_code=script.status, reason=reason, headers=[*script.headers, framing])
        return self._http.send(head) or b""

    async def _flush(self, script: Script, *, last: bool = False) -> None:
        steps, self._pending = self._pending, []
        head, self._head = self._head, b""
        payload = b"".join(step.data for step in steps)
        if script.bytewise:
            await self._send(head, b"", 0, [])
            await self._send_bytewise(payload, steps)
            head, payload, steps = b"", b"", []
        framed = self._framed(payload)
        # Chunked framing puts the size before the payload and a line end after it.
        lead = max(len(framed) - len(payload) - 2, 0)
        end = self._http.send(h11.EndOfMessage()) or b"" if last else b""
        await self._send(head, framed + end, lead, steps)

    def _framed(self, payload: bytes) -> bytes:
        return self._http.send(h11.Data(data=payload)) or b"" if payload else b""

    async def _send(self, head: bytes, body: bytes, lead: int, steps: list[Step]) -> None:
        data = head + body
        sent = 0
        try:
            while sent < len(data):
                sent += await self._sock.send(data[sent:])
        finally:
            if sent:
                self._stamp(headers=bool(head), body=sent > len(head) + lead)
                self._count(sent - len(head) - lead, steps)

    async def _send_bytewise(self, payload: bytes, steps: list[Step]) -> None:
        sent = 0
        try:
            for at in range(len(payload)):
                await self._sock.send(self._framed(payload[at : at + 1]))
                sent = at + 1
        finally:
            self._stamp(headers=False, body=sent > 0)
            self._count(sent, steps)

    def _stamp(self, *, headers: bool, body: bool) -> None:
        now = self._book.now()
        if headers:
            self._record.headers_sent = now
        if body and self._record.first_byte is None:
            self._record.first_byte = now

    def _count(self, sent: int, steps: list[Step]) -> None:
        """Tokens and usage of every step whose last byte is among the `sent` bytes of their joined payload."""
        for step in steps:
            sent -= len(step.data)
            if sent < 0:
                return
            self._record.tokens_sent += step.tokens
            if step.usage is not None:
                self._record.usage_sent = step.usage
