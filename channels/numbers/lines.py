"""The line of each connected number: its secrets opened, its provider's connections shared by all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from app.core.errors import Problem
from app.core.numbers import Secrets, secrets_context
from app.core.sealing import Sealer
from app.providers.deadlines import Deadlines
from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import Line
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.providers.whatsapp.twilio import Account, TwilioLine
from app.storage.numbers import StoredNumber

#: So many lines are kept made; they cost no connection.
KEPT: Final = 4096
STATUS_PATH: Final = "/api/v1/webhooks/twilio/whatsapp-status"
SEALED_ELSEWHERE: Final = (
    "The secrets of this number cannot be read under the server's present SECRET_KEY. Enter them again."
)
NOT_CONNECTED: Final = "This number has no access token or auth token. Connect it first."


@dataclass(frozen=True, slots=True)
class Ways:
    """The hosts that lines speak to."""

    graph: Upstream
    twilio: Upstream
    twilio_messaging: Upstream
    meta_files: Downloads
    twilio_files: Downloads


class Lines:
    """Lines by number. A number that was changed gets a new one."""

    def __init__(self, sealer: Sealer, ways: Ways, *, public_url: str = "") -> None:
        self._sealer = sealer
        self._ways = ways
        self._public_url = public_url.rstrip("/")
        #: By (tenant, number): as of which change of it, and the line.
        self._made: OrderedDict[tuple[str, str], tuple[int, Line]] = OrderedDict()

    def of(self, tenant_id: str, number: StoredNumber) -> Line:
        """Raises Problem 409 `conflict` when its secrets are missing or cannot be opened."""
        place = (tenant_id, number.id)
        as_of, line = self._made.get(place, (None, None))
        if line is None or as_of != number.updated_us:
            line = self._line(number, self._secrets(tenant_id, number))
            self._made[place] = (number.updated_us, line)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(place)
        return line

    def _secrets(self, tenant_id: str, number: StoredNumber) -> Secrets:
        if not number.secrets:
            raise Problem("conflict", NOT_CONNECTED)
        try:
            opened = self._sealer.open(number.secrets, secrets_context(tenant_id, number.id))
            return msgspec.json.decode(opened, type=Secrets)
        except (ValueError, msgspec.DecodeError):
            raise Problem("conflict", SEALED_ELSEWHERE) from None

    def _line(self, number: StoredNumber, secrets: Secrets) -> Line:
        ways = self._ways
        if number.provider == "twilio":
            if not (number.business and (secrets.auth_token or secrets.api_key_secret)):
                raise Problem("conflict", NOT_CONNECTED)
            account = Account(number.business, secrets.auth_token, secrets.api_key_sid, secrets.api_key_secret)
            return TwilioLine(
                *(ways.twilio, ways.twilio_messaging, ways.twilio_files),
                account=account,
                from_number=number.account,
                status_callback=partial(self._status_callback, number.id),
            )
        if not secrets.access_token:
            raise Problem("conflict", NOT_CONNECTED)
        return GraphLine(ways.graph, ways.meta_files, phone_number_id=number.account, token=secrets.access_token)

    def _status_callback(self, number_id: str, reference: str) -> str:
        """Without a public URL Twilio could not reach us: then nothing is told of the message."""
        return f"{self._public_url}{STATUS_PATH}/{number_id}/{reference}" if self._public_url else ""


@asynccontextmanager
async def open_lines(
    sealer: Sealer,
    *,
    graph_url: str,
    twilio_url: str,
    twilio_messaging_url: str,
    public_url: str = "",
    max_parallel: int = 512,
    connect_s: float = 5.0,
) -> AsyncIterator[Lines]:
    """Lines whose connections are open for the length of the block."""
    deadlines = Deadlines(connect_s=connect_s)
    graph, twilio, messaging = hosts = tuple(
        Upstream(url, max_parallel=max_parallel, deadlines=deadlines)
        for url in (graph_url, twilio_url, twilio_messaging_url)
    )
    ways = Ways(graph, twilio, messaging, Downloads(graph_url, metas), Downloads(twilio_url, twilios))
    try:
        yield Lines(sealer, ways, public_url=public_url)
    finally:
        for host in hosts:
            await host.aclose()
