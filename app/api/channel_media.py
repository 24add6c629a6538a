"""`/v1/channels/media`: files of messages by signed link, for a provider that fetches what it is to send."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from app.api.exchange import Exchange, Headers
from app.api.routes import Routes
from app.api.services import ApiServices
from app.storage.media import StoredMedia
from channels.media_links import PATH, LinkedMedia, MediaLinks

#: A file is sent in pieces of this size.
PIECE: Final = 256 * 1024
#: What is played or shown where it is opened. One with a "+", such as image/svg+xml, may hold scripts.
SHOWN: Final = re.compile(r"(audio|image|video)/[a-z0-9.-]+(; ?codecs=[a-z0-9.]+)?", re.ASCII)
SAVED: Final = "application/pdf"
UNKNOWN: Final = "application/octet-stream"


def routes(services: ApiServices) -> Routes:
    api = Routes("channel media")
    links = services.media_links

    @api.add("GET", f"{PATH}/<path:token>")
    async def show_media(exchange: Exchange, token: str) -> None:
        await _send(exchange, links, await links.find(token))

    return api


async def _send(exchange: Exchange, links: MediaLinks, linked: LinkedMedia) -> None:
    """The file piece by piece. Raises Problem before the first; afterwards the client sees that it breaks off."""
    size = linked.row.size
    piece = await links.read(linked, 0, min(PIECE, size))
    await exchange.start(200, headers_of(linked.row, linked.left_s))
    sent = len(piece)
    while sent < size:
        await exchange.send(piece)
        piece = await links.read(linked, sent, min(PIECE, size - sent))
        sent += len(piece)
    await exchange.send(piece, more=False)


def headers_of(row: StoredMedia, left_s: int) -> Headers:
    """A browser runs nothing of it, whatever a stranger has sent."""
    shown = SHOWN.fullmatch(row.media_type) is not None
    media_type = row.media_type if shown or row.media_type == SAVED else UNKNOWN
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(row.size).encode()),
        (b"cache-control", f"private, max-age={left_s}".encode()),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if not shown:
        name = quote(row.name or row.id, safe="")
        headers.append((b"content-disposition", f"attachment; filename*=UTF-8''{name}".encode()))
    return headers
