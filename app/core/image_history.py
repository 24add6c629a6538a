"""The history of images: which page of it is wanted, what is told of each, what kind of file it is (spec.md 11)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from app.core.chat_fields import Wire
from app.core.decode import convert
from app.core.errors import Problem
from app.core.file_links import IMAGE_ID
from app.core.times import Cursor, Place, read_cursor
from app.core.wire_fields import bad_field

PAGE: Final = 20
#: First bytes of what browsers show safely. Whatever else an upstream sends, SVG with its scripts above all, is told to
#: be mere bytes: the address is on the gateway's own origin.
MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
UNKNOWN: Final = "application/octet-stream"


class ImageDetails(Wire, frozen=True):
    """How an image was made: size, seed and steps as the model was asked for them, null where it was not."""

    size: str
    prompt: str
    negative_prompt: str | None
    revised_prompt: str | None
    seed: int | None
    steps: int | None


class HistoryQuery(Wire, frozen=True):
    """The query of GET /v1/images/history; `before` is the `next_cursor` of another page, or any time."""

    limit: Annotated[int, Meta(ge=1, le=100)] = PAGE
    before: Cursor | None = None


def parse_history(query: dict[str, str]) -> tuple[int, Place | None]:
    """How many images, and the place before which. Raises Problem 400 `invalid_request_error` that names the field."""
    try:
        wanted = convert({name: text for name, text in query.items() if text}, HistoryQuery, strict=False)
        before = read_cursor(wanted.before)
    except Problem as problem:
        raise bad_field(problem.param, problem.message) from None
    if before is not None and before.id and IMAGE_ID.fullmatch(before.id) is None:
        raise bad_field("before", "before must be a time such as 2026-08-01T09:30:00Z, or a page's next_cursor.")
    return wanted.limit, before


def media_type_of(image: bytes) -> str:
    """By its first bytes: upstreams do not always say, and are not to be believed."""
    for magic, media_type in MAGIC:
        if image.startswith(magic):
            return media_type
    return "image/webp" if image[:4] == b"RIFF" and image[8:12] == b"WEBP" else UNKNOWN
