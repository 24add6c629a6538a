"""Values that somebody else wrote, as what is needed of them, or "" or 0 or nothing: no function here raises."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

LONGEST_TEXT: Final = 65_536
#: No id of WhatsApp comes near it, and a database can still index it.
LONGEST_ID: Final = 256
LONGEST_LINE: Final = 1024
LONGEST_NAME: Final = 256
LONGEST_URL: Final = 4096
#: Levels and values of what is kept as the provider gave it. Far more than any documented update has.
DEEPEST: Final = 32
MOST_KEPT: Final = 20_000

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_PHONE: Final = re.compile(r"\+?([0-9]{5,20})")
_PHONE_SIGNS: Final = re.compile(r"[\s().\-]+")
_USER_ID: Final = re.compile(r"[A-Z]{2}\.(ENT\.)?[0-9A-Za-z]{1,128}")
_SECONDS: Final = re.compile(r"[0-9]{1,16}")
_HEX_SHA256: Final = re.compile("[0-9a-fA-F]{64}")
_NOWHERE: Final[dict[str, Any]] = {}
#: Seconds from here on (the year 5138) are milliseconds.
_MILLISECONDS: Final = 10**11


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot keep: U+0000 and lone surrogates become U+FFFD."""
    return text if text.isprintable() else _UNSTORABLE.sub("\ufffd", text)


def text(value: object, limit: int = LONGEST_TEXT) -> str:
    """A text, or a number as text; "" for anything else."""
    if isinstance(value, str):
        return storable(value[:limit])
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
    return str(value) if is_number else ""


def line(value: object, limit: int = LONGEST_LINE) -> str:
    """A text on one line, runs of white space as one space."""
    return " ".join(text(value, limit).split())


def identifier(value: object) -> str:
    """An id; "" for one that is longer than ids are, since a part of it would be another's."""
    found = text(value, LONGEST_ID + 1).strip()
    return found if len(found) <= LONGEST_ID else ""


def phone(value: object) -> str:
    """+E.164 of digits with or without the plus."""
    given = identifier(value)
    digits = _PHONE.fullmatch(given) or _PHONE.fullmatch(_PHONE_SIGNS.sub("", given))
    return f"+{digits[1]}" if digits else ""


def user_id(value: object) -> str:
    """A business-scoped user id where a phone number is expected, else ""."""
    found = identifier(value)
    return found if _USER_ID.fullmatch(found) else ""


def moment(value: object) -> int:
    """Unix seconds of seconds or milliseconds, as number or text; 0 when unknown."""
    if type(value) is float and math.isfinite(value):
        value = int(value)
    digits = text(value).strip()
    if not _SECONDS.fullmatch(digits):
        return 0
    return int(digits) if int(digits) < _MILLISECONDS else int(digits) // 1000


def sha256_hex(value: object) -> str:
    """A SHA-256 as hex, of base64 (either alphabet, padded or not) or of hex."""
    given = identifier(value)
    if _HEX_SHA256.fullmatch(given):
        return given.lower()
    plain = given.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        digest = b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == 32 else ""


def mapping(value: object) -> Mapping[str, Any]:
    """The object that `value` is, or an empty one."""
    return value if type(value) is dict else _NOWHERE


def sequence(value: object) -> list[Any]:
    """The list that `value` is, or an empty one."""
    return value if type(value) is list else []


def kept(value: Any) -> Any:
    """A copy that any database keeps and any encoder writes: texts storable and cut, not too deep, not too much."""
    return _copy(value, DEEPEST, [MOST_KEPT])


def _copy(value: Any, depth: int, room: list[int]) -> Any:
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is dict or kind is list:
        most = room[0] if depth else 0
        room[0] = max(0, most - len(value))
        if kind is list:
            return [_copy(child, depth - 1, room) for child in value[:most]]
        return {text(name): _copy(child, depth - 1, room) for name, child in islice(value.items(), most)}
    return None if kind is float and not math.isfinite(value) else value
