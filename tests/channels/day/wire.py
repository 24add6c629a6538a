"""The Graph API as a line sees it: the simulator's mind behind connections that are slow, break, or cannot be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

import msgspec
import trio

from app.core.errors import UpstreamError
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.phones import Phones

#: The way there and the way back, in seconds.
THERE_S: Final = (0.005, 0.2)
BACK_S: Final = (0.005, 0.4)


class Reply:
    """Of `app.providers.upstream`: status and body are there."""

    headers: Final[dict[str, str]] = {}

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    async def read(self, _cap: int = 0) -> bytes:
        return self._body


@dataclass
class Wire:
    """In place of an `Upstream`. `noticed` is told of each message as it leaves; `unreachable` is how often no
    connection can be made.
    """

    phones: Phones
    random: Random
    noticed: Callable[[str, dict[str, Any]], None]
    unreachable: float = 0.0
    #: Requests under way; messages that the provider has taken and not answered.
    flying: int = 0
    taken: int = 0

    def request(self, _method: bytes, path: str, _headers: Sequence[Any], body: bytes, _within_s: float) -> Request:
        return Request(self, path.strip("/").split("/")[0], body)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Request:
    wire: Wire
    account: str
    body: bytes
    asked: bool = False

    async def __aenter__(self) -> Reply:
        fields = msgspec.json.decode(self.body)
        is_message = "status" not in fields
        self.wire.flying += 1
        try:
            if is_message:
                self._leave(fields)
            return await self._ask(is_message)
        finally:
            self.wire.flying -= 1

    async def __aexit__(self, *_: object) -> Literal[False]:
        return False

    def _leave(self, fields: dict[str, Any]) -> None:
        self.wire.noticed(self.account, fields)
        if self.wire.random.random() < self.wire.unreachable:
            raise _broken()

    async def _ask(self, is_message: bool) -> Reply:
        wire = self.wire
        self.asked = True
        await trio.sleep(wire.random.uniform(*THERE_S))
        answer = wire.phones.graph_send(wire.phones.number(self.account), self.body)
        wire.taken += is_message
        try:
            await trio.sleep(wire.random.uniform(*BACK_S) + answer.delay_s)
            return await _given(answer)
        finally:
            wire.taken -= is_message


async def _given(answer: Answer) -> Reply:
    match answer.manner:
        case "hang":
            await trio.sleep_forever()
            raise AssertionError
        case "reset":
            raise _broken()
        case "empty_500":
            return Reply(500, b"")
        case "garbage":
            return Reply(200, b"<html>")
        case _:
            return Reply(answer.status, msgspec.json.encode(answer.payload))


def _broken() -> UpstreamError:
    return UpstreamError("provider_error", "It broke.", retry="once", detail="broken")
