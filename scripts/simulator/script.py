"""An answer as data: what is written, when, and how the connection ends. The server plays it; nothing here waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

#: After the last step: end properly, keep silent for ever, close with FIN, or close with RST.
Ending = Literal["end", "hang", "fin", "rst"]
Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("content-type", "application/json"),)


class Step(NamedTuple):
    """Bytes of the body, due `at_s` seconds after the answer began, with the completion tokens and usage they carry."""

    data: bytes
    at_s: float = 0.0
    tokens: int = 0
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One HTTP answer. `length` None means chunked; `silent` means that not even the headers are sent:
    it cuts at once under the endings `fin` and `rst`, and else never ends.

    `length` may promise more bytes than the steps hold when the ending is not `end`. `delay_s` passes before anything
    is sent. `bytewise` writes one byte at a time. `fault` tells the book that this is no full, good answer.
    """

    status: int = 200
    headers: Headers = JSON
    steps: Iterable[Step] = ()
    length: int | None = None
    delay_s: float = 0.0
    silent: bool = False
    ending: Ending = "end"
    bytewise: bool = False
    fault: bool = False


def json_script(payload: Any, status: int = 200, headers: Headers = ()) -> Script:
    """A whole JSON body, at once; every status from 400 on is a fault."""
    data = msgspec.json.encode(payload)
    return Script(status=status, headers=JSON + headers, steps=(Step(data),), length=len(data), fault=status >= 400)
