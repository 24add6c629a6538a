"""`/api/v1/webhooks/whatsapp` and `/twilio`: where Meta and Twilio tell what happens on WhatsApp numbers.

No key opens these: each request is signed by its provider, and a URL without a secret to check that with is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final
from urllib.parse import parse_qs

from app.api.exchange import Exchange, Headers
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.errors import Problem
from channels.inbound.intake import Refused, Unsigned

META: Final = "/api/v1/webhooks/whatsapp"
TWILIO: Final = "/api/v1/webhooks/twilio/whatsapp"
TWILIO_STATUS: Final = "/api/v1/webhooks/twilio/whatsapp-status"
#: Every path of them.
HOOKS: Final = (
    *(META, f"{META}/<number_id>"),
    *(TWILIO, f"{TWILIO}/<number_id>", f"{TWILIO_STATUS}/<number_id>/<send_id>"),
)
#: Meta's largest body (wire/whatsapp-meta.md section 3).
LARGEST: Final = 3 * 1024 * 1024
META_SIGNATURE: Final = b"x-hub-signature-256"
TWILIO_SIGNATURE: Final = b"x-twilio-signature"
TEXT: Final = (b"content-type", b"text/plain")
XML: Final = (b"content-type", b"text/xml")


def routes(services: ApiServices) -> Routes:
    hooks = Routes("channel webhooks")
    intake = services.intake

    @hooks.add("GET", META)
    async def verify_shared(exchange: Exchange) -> None:
        await _verify(exchange, intake.verify_shared(_query(exchange)))

    @hooks.add("GET", f"{META}/<number_id>")
    async def verify(exchange: Exchange, number_id: str) -> None:
        await _verify(exchange, intake.verify(number_id, _query(exchange)))

    @hooks.add("POST", META, upload=True)
    async def take_shared_meta(exchange: Exchange) -> None:
        body = await _received(exchange)
        await _take(exchange, intake.take_shared_meta(body, exchange.header(META_SIGNATURE)), 401, b"", TEXT)

    @hooks.add("POST", f"{META}/<number_id>")
    async def take_meta(exchange: Exchange, number_id: str) -> None:
        body = _checked(exchange)
        await _take(exchange, intake.take_meta(number_id, body, exchange.header(META_SIGNATURE)), 401, b"", TEXT)

    @hooks.add("POST", TWILIO, upload=True)
    async def take_shared_twilio(exchange: Exchange) -> None:
        body = await _received(exchange)
        signature = exchange.header(TWILIO_SIGNATURE)
        await _take_twilio(exchange, intake.take_shared_twilio(_target(exchange), body, signature))

    @hooks.add("POST", f"{TWILIO}/<number_id>")
    async def take_twilio(exchange: Exchange, number_id: str) -> None:
        body, signature = _checked(exchange), exchange.header(TWILIO_SIGNATURE)
        await _take_twilio(exchange, intake.take_twilio(number_id, _target(exchange), body, signature))

    @hooks.add("POST", f"{TWILIO_STATUS}/<number_id>/<send_id>")
    async def take_twilio_status(exchange: Exchange, number_id: str, send_id: str) -> None:
        body, signature = _checked(exchange), exchange.header(TWILIO_SIGNATURE)
        taken = intake.take_twilio_status(number_id, send_id, _target(exchange), body, signature)
        await _take_twilio(exchange, taken)

    return hooks


async def _verify(exchange: Exchange, challenge: Awaitable[str]) -> None:
    """The challenge and nothing else, or 403."""
    try:
        await exchange.reply(200, [TEXT], (await challenge).encode())
    except Refused:
        await exchange.reply(403, [], b"")


async def _take_twilio(exchange: Exchange, taken: Awaitable[int]) -> None:
    await _take(exchange, taken, 403, b"<Response/>", XML)


async def _take(
    exchange: Exchange, taken: Awaitable[int], unsigned: int, body: bytes, media: tuple[bytes, bytes]
) -> None:
    """200 once it is kept, whatever is in it; `unsigned` for a bad signature."""
    headers: Headers = [media]
    try:
        exchange.note["new_events"] = await taken
    except Unsigned:
        await exchange.reply(unsigned, [], b"")
    else:
        await exchange.reply(200, headers, body)


async def _received(exchange: Exchange) -> bytes:
    body = bytearray()
    while piece := await exchange.receive(LARGEST):
        body += piece
    return bytes(body)


def _checked(exchange: Exchange) -> bytes:
    if len(exchange.body) > LARGEST:
        raise Problem("request_too_large", f"The request body is larger than {LARGEST} bytes.")
    return exchange.body


def _query(exchange: Exchange) -> dict[str, str]:
    text = exchange.scope["query_string"].decode("latin1")
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _target(exchange: Exchange) -> str:
    """Path and query as they were sent: what the provider has signed."""
    path, query = exchange.scope["raw_path"].decode("latin1"), exchange.scope["query_string"].decode("latin1")
    return f"{path}?{query}" if query else path
