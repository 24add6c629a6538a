"""`/v1/images`: generations, their history and its files, over `usecases.images` and `usecases.image_history`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routed import JSON, WholeReply, open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.identity import Principal
from app.core.image_history import ImageDetails, parse_history
from app.core.images import parse_images, reply_body
from app.core.times import iso_time, write_cursor
from app.storage.images import StoredImage
from app.usecases.image_history import ImageHistory, LinkedImage
from app.usecases.images import Drawn, run_images
from app.usecases.sink import Served

ENDPOINT: Final = "/v1/images/generations"
HISTORY: Final = "/v1/images/history"
FILES: Final = "/v1/images/files"
#: A file is sent in pieces of this size.
PIECE: Final = 256 * 1024
_read_details: Final = msgspec.json.Decoder(ImageDetails).decode


def routes(services: ApiServices) -> Routes:
    api = Routes("images")
    history = services.images.history

    @api.add("POST", ENDPOINT)
    async def create_images(exchange: Exchange) -> None:
        def make(drawn: Drawn, served: Served) -> tuple[str, bytes]:
            return JSON, reply_body(served.created, drawn.pictures)

        async def answer(principal: Principal) -> None:
            request = parse_images(exchange.body)
            reply = WholeReply(exchange, make)
            with open_facts(exchange, ENDPOINT, "generate_content", "img-") as facts:
                done = await run_images(services.images, principal, request, facts, reply.settling)
            await reply.send(done.served)

        await answer_once(services, exchange, "image", answer)

    @api.add("GET", HISTORY)
    async def list_images(exchange: Exchange) -> None:
        principal = await services.access.check(credentials.api_key(exchange))
        credentials.check(exchange, principal, "image")
        limit, before = parse_history({name: exchange.query(name) for name in ("limit", "before")})
        images, more = await history.page(principal.tenant_id, before, limit)
        address = services.public_url or f"{exchange.scope['scheme']}://{exchange.host}"
        body = {
            "data": [
                _row(image, f"{address}{FILES}/{history.link(principal.tenant_id, image.id)}") for image in images
            ],
            "next_cursor": None if more is None else write_cursor(more),
        }
        await exchange.reply_json(msgspec.json.encode(body), [(b"cache-control", b"no-store")])

    @api.add("GET", f"{FILES}/<path:token>")
    async def show_image(exchange: Exchange, token: str) -> None:
        await _send(exchange, history, await history.find(token))

    return api


def _row(image: StoredImage, url: str) -> dict[str, Any]:
    details = msgspec.structs.asdict(_read_details(image.details))
    return {"id": image.id, "url": url, "model": image.model, **details, "created": iso_time(image.created_us)}


async def _send(exchange: Exchange, history: ImageHistory, linked: LinkedImage) -> None:
    """The file piece by piece. Raises Problem before the first; afterwards the client sees that it breaks off."""
    image, tag = linked.image, f'"{linked.image.sha256}"'
    headers = [
        (b"cache-control", f"private, max-age={linked.left_s}".encode()),
        (b"etag", tag.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
    ]
    if tag in (exchange.header(b"if-none-match") or ""):
        await exchange.start(304, headers)
        await exchange.send(b"", more=False)
        return
    piece = await history.read(linked, 0, PIECE)
    headers += [(b"content-type", image.media_type.encode()), (b"content-length", str(image.bytes).encode())]
    await exchange.start(200, headers)
    sent = len(piece)
    while sent < image.bytes:
        await exchange.send(piece)
        piece = await history.read(linked, sent, PIECE)
        sent += len(piece)
    await exchange.send(piece, more=False)
