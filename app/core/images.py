"""An image request and its reply: bounds, sizes that a model takes, pictures in base64 (spec.md section 11)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Name, Wire
from app.core.decode import decode_object
from app.core.wire_fields import bad_field, read_fields, unknown_fields

LEAST_SIDE: Final = 64
MOST_SIDE: Final = 4096
DEFAULT_SIDE: Final = 1024
#: Diffusion models work on blocks of so many pixels.
BLOCK: Final = 8
_SIZE: Final = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")


class ImageFields(Wire, frozen=True):
    """The body of POST /v1/images/generations."""

    model: Name
    prompt: Annotated[str, Meta(min_length=1, max_length=4000)]
    n: Annotated[int, Meta(ge=1, le=4)] | None = None
    size: str | None = None
    response_format: Literal["b64_json"] | None = None
    negative_prompt: Annotated[str, Meta(max_length=4000)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    steps: Annotated[int, Meta(ge=1, le=50)] | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None


class ImageRequest(Wire, frozen=True):
    """What the client asked for."""

    model: str
    prompt: str
    n: int
    width: int
    height: int
    negative_prompt: str | None
    seed: int | None
    steps: int | None
    ignored: tuple[str, ...]


class Picture(Wire, frozen=True):
    """One image as base64, and the prompt that the model made of the client's, if it told."""

    b64: str
    revised_prompt: str | None = None


def parse_images(body: bytes) -> ImageRequest:
    """Raises Problem 400 `invalid_request_error` that names the field."""
    raw = decode_object(body)
    fields = read_fields(raw, ImageFields, one_code=True)
    if not fields.prompt.strip():
        raise bad_field("prompt", "prompt must say what to draw.")
    width, height = _size(fields.size)
    return ImageRequest(
        model=fields.model,
        prompt=fields.prompt,
        n=fields.n or 1,
        width=width,
        height=height,
        negative_prompt=fields.negative_prompt or None,
        seed=fields.seed,
        steps=fields.steps,
        ignored=unknown_fields(raw, ImageFields),
    )


def fitted_size(width: int, height: int, least: int, most: int) -> tuple[int, int]:
    """Each side within the model's bounds, rounded down to whole blocks."""
    return _side(width, least, most), _side(height, least, most)


def _side(wanted: int, least: int, most: int) -> int:
    return max(min(wanted, most) // BLOCK * BLOCK, least)


def _size(text: str | None) -> tuple[int, int]:
    if text is None:
        return DEFAULT_SIDE, DEFAULT_SIDE
    match = _SIZE.fullmatch(text)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in sides):
        raise bad_field(
            "size",
            f"size must be WIDTHxHEIGHT, each {LEAST_SIDE} to {MOST_SIDE}, such as {DEFAULT_SIDE}x{DEFAULT_SIDE}.",
        )
    return sides


_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)


def picture_from_bytes(data: bytes) -> Picture:
    """Raises ValueError when there is none."""
    if not data:
        raise ValueError("no image")
    return Picture(b64=b64encode(data).decode("ascii"))


def picture_in(body: Mapping[str, Any]) -> Picture:
    """The image in a JSON answer of any of the kinds that upstreams send. Raises ValueError when there is none.

    `result.image` or `image` (Cloudflare), `data[0].b64_json` (OpenRouter), image parts or data URLs in a chat
    completion's message.
    """
    match body:
        case {"result": {"image": str(text)}} | {"image": str(text)}:
            return Picture(b64=_checked(text))
        case {"data": [{"b64_json": str(text), **more}, *_]}:
            revised = more.get("revised_prompt")
            return Picture(b64=_checked(text), revised_prompt=revised if isinstance(revised, str) else None)
        case {"choices": [{"message": dict(message)}, *_]}:
            return Picture(b64=_checked(_in_message(message)))
    raise ValueError("no image")


def _in_message(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    images = message.get("images")
    parts = [part for listed in (images, content) if isinstance(listed, list) for part in listed]
    for part in parts:
        match part:
            case {"image_url": {"url": str(url)}} | {"image_url": str(url)}:
                return url
    if isinstance(content, str) and (found := _DATA_URL.search(content)):
        text = _BASE64.match(content, found.end())
        return text[0] if text else ""
    return ""


def _checked(text: str) -> str:
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
    if not _BASE64.fullmatch(text) or len(text) % 4:
        raise ValueError("the image is no base64")
    return text


def reply_body(created: int, pictures: Sequence[Picture]) -> bytes:
    """OpenAI's images object."""
    data = [{"b64_json": picture.b64, "revised_prompt": picture.revised_prompt} for picture in pictures]
    return msgspec.json.encode({"created": created, "data": data})
