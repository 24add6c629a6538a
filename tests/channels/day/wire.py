"""Both providers' APIs as lines see them: the simulator's answers over connections that are slow, break, or cannot be
made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import trio

from app.core.errors import UpstreamError
from app.providers.body import StreamedBody
from app.providers.receivers import Loaded, Unreachable
from scripts.simulator.routes import Request as Asked
from scripts.simulator.script import Script
from scripts.simulator.whatsapp import surfaces
from scripts.simulator.whatsapp.phones import Phones

#: The way there and the way back, in seconds.
THERE_S: Final = (0.005, 0.2)
BACK_S: Final = (0.005, 0.4)
HOST: Final = "simulator.test"
Headers = Sequence[tuple[bytes, bytes]]


class Posting(NamedTuple):
    """A message as it leaves: from which number, which of our rows it is, to whom."""

    account: str
    reference: str
    kind: str
    phone: str
    user_id: str


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
    """`noticed` is told of each message as it leaves; `unreachable` is how often no connection can be made."""

    phones: Phones
    random: Random
    noticed: Callable[[Posting], None]
    unreachable: float = 0.0
    #: Requests under way; messages that the provider has taken and not answered.
    flying: int = 0
    taken: int = 0


@dataclass
class Way:
    """The way to one API, with paths from `prefix` on: in place of an `Upstream`, and of `Receivers` of files."""

    wire: Wire
    prefix: str = ""

    def request(
        self, method: bytes, path: str, headers: Headers, body: bytes | StreamedBody, _within_s: float
    ) -> Request:
        return Request(self.wire, method.decode(), self.prefix + path, headers, body)

    async def get(self, url: str, headers: Headers, _cap: int) -> Loaded:
        """A file. Raises Unreachable."""
        target = url.removeprefix(f"http://{HOST}")
        try:
            script = await Request(self.wire, "GET", target, headers, b"").played()
        except UpstreamError as error:
            raise Unreachable(str(error)) from None
        return Loaded(script.status, dict(script.headers), _body(script))

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Request:
    wire: Wire
    method: str
    target: str
    headers: Headers
    body: bytes | StreamedBody
    asked: bool = False

    async def __aenter__(self) -> Reply:
        script = await self.played()
        return Reply(script.status, _body(script))

    async def __aexit__(self, *_: object) -> Literal[False]:
        return False

    async def played(self) -> Script:
        """What comes back, if anything does. Raises UpstreamError."""
        wire, body = self.wire, await _read(self.body)
        headers = {name.decode().lower(): value.decode() for name, value in self.headers} | {"host": HOST}
        posting = _posting(self.method, self.target, body)
        wire.flying += 1
        try:
            if posting is not None:
                wire.noticed(posting)
                if wire.random.random() < wire.unreachable:
                    raise _broken()
            return await self._play(Asked(self.method, self.target, headers, body), posting is not None)
        finally:
            wire.flying -= 1

    async def _play(self, asked: Asked, is_message: bool) -> Script:
        wire, self.asked = self.wire, True
        await trio.sleep(wire.random.uniform(*THERE_S))
        found = surfaces.find_route(asked)
        assert found is not None, asked.target
        script = await surfaces.answer(wire.phones, asked, found)
        wire.taken += is_message
        try:
            await trio.sleep(wire.random.uniform(*BACK_S) + script.delay_s)
            if script.silent and script.ending == "hang":
                await trio.sleep_forever()
            if script.silent:
                raise _broken()
            return script
        finally:
            wire.taken -= is_message


async def _read(body: bytes | StreamedBody) -> bytes:
    if isinstance(body, bytes):
        return body
    whole = bytearray()
    while piece := await body.read(len(whole)):
        whole += piece
    return bytes(whole)


def _posting(method: str, target: str, body: bytes) -> Posting | None:
    """None for what is no message."""
    if method == "POST" and target.endswith("/messages"):
        fields: dict[str, Any] = msgspec.json.decode(body)
        if "status" in fields:
            return None
        account, reference = target.split("/")[-2], fields["biz_opaque_callback_data"]
        return Posting(account, reference, fields["type"], fields.get("to", ""), fields.get("recipient", ""))
    if method == "POST" and target.endswith("/Messages.json"):
        form = dict(parse_qsl(body.decode()))
        to, reference = _address(form, "To"), form["StatusCallback"].rpartition("/")[2]
        phone, user_id = (to, "") if to.startswith("+") else ("", to)
        kind = "template" if "ContentSid" in form else "media" if "MediaUrl" in form else "text"
        return Posting(_address(form, "From"), reference, kind, phone, user_id)
    return None


def _address(form: Mapping[str, str], name: str) -> str:
    return form[name].removeprefix("whatsapp:")


def _body(script: Script) -> bytes:
    return b"".join(step.data for step in script.steps)


def _broken() -> UpstreamError:
    return UpstreamError("provider_error", "It broke.", retry="once", detail="broken")
