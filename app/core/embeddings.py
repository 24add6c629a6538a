"""An embeddings request and its reply: bounds, and vectors as numbers or as little-endian float32 (spec.md 8)."""

from __future__ import annotations

import re
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Name, Wire
from app.core.decode import decode_object
from app.core.errors import Problem
from app.core.wire_fields import read_fields, unknown_fields

MOST_ITEMS: Final = 128
LONGEST_ITEM: Final = 100_000
Encoding = Literal["float", "base64"]


class EmbeddingFields(Wire, frozen=True):
    """The body of POST /v1/embeddings."""

    model: Name
    input: str | list[str]
    encoding_format: Encoding | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None


class EmbeddingRequest(Wire, frozen=True):
    """What the client asked for; `texts` is never empty, nor is one of them."""

    model: str
    texts: tuple[str, ...]
    encoding: Encoding
    dimensions: int | None
    ignored: tuple[str, ...]


class Vector(msgspec.Struct, frozen=True, gc=False):
    """One item of an upstream's list: `embedding` is a JSON array or a base64 text, not looked into."""

    embedding: msgspec.Raw
    index: int | None = None


def parse_embeddings(body: bytes) -> EmbeddingRequest:
    """Raises Problem: 400 that names the field, 413 for an item that is too long."""
    raw = decode_object(body)
    fields = read_fields(raw, EmbeddingFields)
    texts = (fields.input,) if isinstance(fields.input, str) else tuple(fields.input)
    if not 1 <= len(texts) <= MOST_ITEMS:
        raise Problem("invalid_value", f"input must hold 1 to {MOST_ITEMS} texts, got {len(texts)}.", "input")
    for place, text in enumerate(texts):
        param = "input" if isinstance(fields.input, str) else f"input[{place}]"
        if not text:
            raise Problem("invalid_value", f"{param} is empty: send a text.", param)
        if len(text) > LONGEST_ITEM:
            raise Problem("request_too_large", f"{param} is longer than {LONGEST_ITEM:,} characters. Split it.", param)
    return EmbeddingRequest(
        model=fields.model,
        texts=texts,
        encoding=fields.encoding_format or "float",
        dimensions=fields.dimensions,
        ignored=unknown_fields(raw, EmbeddingFields),
    )


_NUMBERS: Final = re.compile(rb"\[[-+0-9.eE,\s]+\]")


def encoded(vector: Vector, encoding: Encoding, dimensions: int | None) -> msgspec.Raw:
    """The vector as the client wants it. Raises ValueError for what is no vector, or not one of `dimensions`."""
    value = bytes(vector.embedding)
    if value[:1] == b"[":
        if not _NUMBERS.fullmatch(value):
            raise ValueError("an embedding holds something else than numbers")
        if dimensions is not None and value.count(b",") + 1 != dimensions:
            raise ValueError("an embedding has not the dimensions that were asked for")
        return vector.embedding if encoding == "float" else _packed(value)
    packed = b64decode(msgspec.json.decode(value, type=str), validate=True)
    if not packed or len(packed) % 4 or (dimensions is not None and len(packed) != 4 * dimensions):
        raise ValueError("an embedding is no float32 vector of the dimensions that were asked for")
    return vector.embedding if encoding == "base64" else _unpacked(packed)


def _packed(numbers: bytes) -> msgspec.Raw:
    try:
        floats = array("f", msgspec.json.decode(numbers, type=list[float]))
    except (msgspec.DecodeError, OverflowError) as error:
        raise ValueError(f"an embedding is no list of numbers: {type(error).__name__}") from None
    if sys.byteorder == "big":
        floats.byteswap()
    return msgspec.Raw(msgspec.json.encode(b64encode(floats.tobytes()).decode()))


def _unpacked(packed: bytes) -> msgspec.Raw:
    floats = array("f", packed)
    if sys.byteorder == "big":
        floats.byteswap()
    return msgspec.Raw(msgspec.json.encode(floats.tolist()))


def reply_body(model: str, vectors: Sequence[msgspec.Raw], prompt_tokens: int) -> bytes:
    """OpenAI's embeddings list."""
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})
