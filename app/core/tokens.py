"""Token counts of texts and chat prompts, offline and in linear time: the estimate behind holds and missing usage.

Measured with bpe-openai 0.1.4: 15 to 90 MB/s, and the interpreter lock is held for the whole of one call. So a long
text is counted in pieces, 1 to 2 ms each at worst: a worker thread gives the others their turn between two of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import bpe_openai  # type: ignore[import-untyped]  # it ships no types

ENCODING: Final = "o200k_base"

#: Callers count prompts larger than this in a worker thread: 64 KiB take 1 to 4 ms.
LARGE_BYTES: Final = 64 * 1024
#: Characters counted per hold of the interpreter lock: 0.2 to 2 ms.
PIECE: Final = 16 * 1024

#: The frame around each message (3) and its role (1).
PER_MESSAGE: Final = 4
PER_NAME: Final = 1
REPLY_PRIMING: Final = 3
PER_IMAGE: Final = 258

#: A space after a non-space always begins a new pre-token of o200k_base, so a cut there keeps the count exact.
_CUT: Final = re.compile(r"(?<=\S) ")


@cache
def _encoder() -> Callable[[str], list[int]]:
    encode: Callable[[str], list[int]] = bpe_openai.get_encoding(ENCODING).encode_ordinary
    return encode


def warm() -> None:
    """Load the vocabulary now (about 0.2 s) instead of at the first count."""
    _encoder()


def count_text(text: str) -> int:
    """Tokens of `text`; a lone surrogate counts as U+FFFD.

    Exact for any text with a word's end every `PIECE / 2` characters; else each cut may move it by a few tokens.
    """
    encode = _encoder()
    if len(text) <= PIECE:
        return len(encode(text))
    total = 0
    for piece in _pieces(text):
        total += len(encode(piece))
    return total


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PIECE:
        middle = start + PIECE // 2
        cut = _CUT.search(text, middle, start + PIECE)
        end = cut.start() if cut else start + PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def count_messages(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> int:
    """Prompt tokens of a chat request by the usual rule; an estimate, since templates differ by model.

    Per message 4, the text of its content, `reasoning_content` and `refusal`, its name and 1, and name and arguments
    of each tool call; 258 for each part that is not text; the tools as compact JSON; 3 that prime the reply.
    The messages have passed `chat.parse_chat`.
    """
    total = REPLY_PRIMING
    for message in messages:
        total += PER_MESSAGE + _count_message(message)
    if tools:
        total += count_text(json.dumps(tools, ensure_ascii=False, separators=(",", ":")))
    return total


def _count_message(message: dict[str, Any]) -> int:
    total = _count_content(message.get("content"))
    for key in ("reasoning_content", "refusal"):
        total += _count_str(message.get(key))
    if name := _count_str(message.get("name")):
        total += name + PER_NAME
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += _count_str(function.get("name")) + _count_str(function.get("arguments"))
    return total


def _count_content(content: Any) -> int:
    if isinstance(content, list):
        return sum(_count_part(part) for part in content)
    return _count_str(content)


def _count_part(part: dict[str, Any]) -> int:
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return count_text(text)
    return PER_IMAGE


def _count_str(value: Any) -> int:
    return count_text(value) if isinstance(value, str) else 0
