"""Webhooks of Meta's Cloud API: the signature, the verification, and a body as facts (wire/whatsapp-meta.md §1-8)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Final

import msgspec

from channels.whatsapp.lenient import identifier, kept, mapping, moment, sequence, storable
from channels.whatsapp.meta_change import Change, read_change
from channels.whatsapp.updates import Arrival, Broken

#: Entries, changes and updates that are read of one body. Meta sends at most 1000 updates in one.
MOST_PARTS: Final = 10_000
_LONGEST_CHALLENGE: Final = 1024

_decode: Final = msgspec.json.Decoder().decode


def signed(secrets: Sequence[str], body: bytes, header: str | None) -> bool:
    """Whether `header` (`X-Hub-Signature-256`) signs these very bytes with one of the app secrets (§2)."""
    given = (header or "").encode("utf-8", "backslashreplace")
    keys = [secret.encode("utf-8", "backslashreplace") for secret in secrets if secret]
    expected = [b"sha256=" + hmac.new(key, body, sha256).hexdigest().encode() for key in keys]
    matches = [hmac.compare_digest(each, given) for each in expected]
    return any(matches)


def challenge(query: Mapping[str, str], is_ours: Callable[[str], bool]) -> str | None:
    """The body that answers a verification GET (§1), None if it is to be refused. `is_ours` judges the verify token."""
    token, answer = query.get("hub.verify_token", ""), query.get("hub.challenge", "")
    if query.get("hub.mode") != "subscribe" or not token or not 0 < len(answer) <= _LONGEST_CHALLENGE:
        return None
    return answer if is_ours(token) else None


def read(body: bytes) -> list[Arrival | Broken]:
    """Every update in a body, in its order. What cannot be read is `Broken`, the rest is read. Raises nothing.

    The body of a `Broken` is that part in its envelope, so that `read` can be tried on it again.
    """
    try:
        tree = _tree(body)
    except (ValueError, RecursionError):
        return [_broken_body(body, "The body is not JSON, or nested too deep.")]
    entries = tree.get("entry") if type(tree) is dict else None
    if type(entries) is not list:
        return [_broken_body(body, "The body has no list of entries.")]
    parts = _parts(entries)
    found = [part for part in islice(parts, MOST_PARTS) if part is not None]
    for _ in islice(parts, 1):
        found.append(_broken_body(body, f"The body has more than {MOST_PARTS} parts: the rest is unread."))
    return found


def _parts(entries: list[Any]) -> Iterator[Arrival | Broken | None]:
    """What is read, and None for each entry and change, so that the caller can count what has nothing in it too."""
    for raw in entries:
        yield None
        entry = mapping(raw)
        if entry is not raw:
            yield Broken("", "An entry is not an object.", _text({"entry": [raw]}))
        business, at = identifier(entry.get("id")), moment(entry.get("time"))
        for change in sequence(entry.get("changes")):
            yield from _change(change, business, at, standby=False)
        # Where copies of what another handler answers are put is not documented; Meta's other products put them here.
        for change in sequence(entry.get("standby")):
            yield from _change(change, business, at, standby=True)


def _change(raw: object, business: str, at: int, *, standby: bool) -> Iterator[Arrival | Broken | None]:
    yield None
    change = mapping(raw)
    value = change.get("value", raw if standby else None)
    if not isinstance(value, dict):
        part = {"entry": [{"id": business, "changes": [raw]}]}
        yield Broken("", "A change has no object as its value.", _text(part))
        return
    field = identifier(change.get("field"))
    yield from read_change(Change(business, at, field, value, standby or field == "standby"))


def _tree(body: bytes) -> Any:
    """The JSON of a body; halves of surrogate pairs and numbers out of range, which the fast decoder refuses, pass."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(body.decode("utf-8-sig", "replace"), parse_int=_number)


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


def _broken_body(body: bytes, reason: str) -> Broken:
    return Broken("", reason, storable(body.decode("utf-8", "replace")))


def _text(part: object) -> str:
    return msgspec.json.encode(kept(part)).decode()
