"""Bodies that nobody sends on purpose, or somebody does: nothing raises, nothing good is lost, and time is bounded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.whatsapp import meta
from channels.whatsapp.updates import Arrival, Broken
from tests.channels.whatsapp.bodies import ERROR, MESSAGES, STATUS, body, message, value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary().map(repr)
ENVELOPE = ["entry", "changes", "field", "value", "standby", "calls", "message_echoes"]


def names(tree: object) -> set[str]:
    """Every name of an object's field in it."""
    inner = [*tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return {*(tree if isinstance(tree, dict) else ())} | {name for child in inner for name in names(child)}


SYSTEM: dict[str, Any] = {
    "type": "user_changed_number",
    "wa_id": "12195555358",
    "user_id": "US.2",
    "previous_user_id": "US.1",
    "previous_parent_user_id": "US.ENT.1",
}
#: One of each, in one value.
PARTS: dict[str, list[Any]] = {
    "messages": [
        *(message(name, f"wamid.{name}") for name in MESSAGES),
        {"id": "wamid.S", "from": "16505551234", "type": "system", "system": SYSTEM},
    ],
    "statuses": [STATUS, {**STATUS, "id": "wamid.B", "status": "failed", "errors": [ERROR]}],
}
WORDS = st.sampled_from([*ENVELOPE, *sorted(names(value(**PARTS)))])
ANYTHING = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=40,
)


def written(tree: object) -> bytes:
    """As JSON, with NaN and lone surrogates where the tree has them."""
    return json.dumps(tree).encode()


def _texts(tree: object) -> Iterator[str]:
    inner = [*tree, *tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    yield from [tree] if isinstance(tree, str) else (text for child in inner for text in _texts(child))


def check_whole(found: list[Arrival | Broken]) -> None:
    """Every part can be kept: written as JSON, read again, with nothing that PostgreSQL refuses."""
    assert not any("\0" in text for text in _texts(msgspec.json.decode(msgspec.json.encode(found))))
    for part in found:
        if isinstance(part, Arrival):
            assert part.key
            assert len(part.key) < 400
            assert msgspec.json.decode(msgspec.json.encode(part), type=Arrival).key == part.key


@given(st.binary() | ANYTHING.map(written))
def test_no_body_raises(raw: bytes) -> None:
    check_whole(meta.read(raw))


@given(st.sampled_from([*MESSAGES]), ANYTHING)
def test_no_part_of_a_message_raises(name: str, part: Any) -> None:
    raw = message(name)
    kind = raw["type"]
    for odd in ({**raw, kind: part}, {**raw, "context": part}, {**raw, "from": part}, {**raw, "id": part}):
        check_whole(meta.read(written({"entry": [{"changes": [{"field": "messages", "value": {"messages": [odd]}}]}]})))


def _paths(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(deeper for name, child in inner for deeper in _paths(child, (*path, name)))]


def _replaced(tree: Any, path: tuple[str | int, ...], new: object) -> Any:
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(tree, list):
        return [_replaced(child, rest, new) if index == step else child for index, child in enumerate(tree)]
    return {name: _replaced(child, rest, new) if name == step else child for name, child in tree.items()}


@pytest.mark.parametrize("name", PARTS)
@given(st.data())
def test_a_changed_part_spoils_no_other(name: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(PARTS[name]) - 1))
    path = data.draw(st.sampled_from(_paths(PARTS[name][index])))
    odd = _replaced(PARTS[name][index], path, data.draw(ANYTHING))
    parts = {**PARTS, name: [*PARTS[name][:index], odd, *PARTS[name][index + 1 :]]}

    before = meta.read(body(value(**PARTS)))
    after = meta.read(body(value(**parts)))

    check_whole(after)
    assert len(after) == len(before)
    place = index + (len(PARTS["messages"]) if name == "statuses" else 0)
    assert [part for n, part in enumerate(after) if n != place] == [part for n, part in enumerate(before) if n != place]


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "calls": ("calls", {"id": "wacid.B", "from": "16505551234", "event": "connect", "timestamp": "1", "session": {}}),
    "smb_message_echoes": (
        "message_echoes",
        {**message("image", "wamid.E"), "to": "16505551234", "to_user_id": "US.1"},
    ),
}


@pytest.mark.parametrize("field", OTHERS)
@given(st.data())
def test_a_changed_call_or_echo_spoils_no_other(field: str, data: st.DataObject) -> None:
    name, whole = OTHERS[field]
    path = data.draw(st.sampled_from(_paths(whole)))
    odd = _replaced(whole, path, data.draw(ANYTHING))

    found = meta.read(body({name: [whole, odd, whole]}, field=field))

    check_whole(found)
    assert [found[0], found[2]] == meta.read(body({name: [whole, whole]}, field=field))


@given(ANYTHING, st.sampled_from(["metadata", "contacts", "errors", "standby", "messaging_product"]))
def test_what_stands_around_the_messages_spoils_none(odd: Any, name: str) -> None:
    found = meta.read(body({**value(**PARTS), name: odd}))
    check_whole(found)
    broken = [part.reason for part in found if isinstance(part, Broken)]
    keys = {part.key for part in found if isinstance(part, Arrival)}
    assert broken == [] or name == "standby"
    assert keys >= {raw["id"] for raw in PARTS["messages"]}


MB = 3_000_000
INSIDE = b'{"entry":[{"changes":[{"field":"messages","value":{"messages":[%s]}}]}]}'
BOMBS = {
    "arrays": b"[" * MB,
    "objects": b'{"a":' * (MB // 5),
    "deep": INSIDE % (b'{"id":"a","from":"16505551234","x":' + b"[" * 900 + b"]" * 900 + b"}"),
    "entries": b'{"entry":[' + b"{}," * (MB // 3) + b"0]}",
    "changes": b'{"entry":[{"changes":[' + b'{"field":"messages","value":{}},' * (MB // 32) + b"0]}]}",
    "messages": INSIDE % (b"0," * (MB // 2) + b"0"),
    "notice": b'{"entry":[{"changes":[{"field":"x","value":{"y":[' + b"[]," * (MB // 3) + b"0]}}]}]}",
    "digits": INSIDE % (b'{"id":' + b"9" * MB + b"}"),
    "white space": INSIDE % (b'{"id":"' + b" " * MB + b'"}'),
}


GENEROUS_S = 30.0


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_long_time_and_leaves_little(name: str) -> None:
    """Far above what it takes: a time that grows with the square of its size would be minutes."""
    began = time.process_time()
    found = meta.read(BOMBS[name])
    assert time.process_time() - began < GENEROUS_S
    assert 0 < len(found) <= meta.MOST_PARTS + 1


def test_what_is_over_the_count_is_told() -> None:
    raw = BOMBS["messages"]
    last = meta.read(raw)[-1]
    assert isinstance(last, Broken)
    assert "more than" in last.reason
    assert last.body == raw.decode()


def test_what_is_too_deep_to_keep_is_left_out_and_the_message_is_read() -> None:
    [arrival] = meta.read(BOMBS["deep"])
    assert isinstance(arrival, Arrival)
    assert len(msgspec.json.encode(arrival)) < 1000


def test_a_thousand_updates_are_read_at_once() -> None:
    raw = body(*(value(messages=[message("image", f"wamid.{n}")]) for n in range(1000)))
    found = meta.read(raw)
    assert len({part.key for part in found if isinstance(part, Arrival)}) == 1000
