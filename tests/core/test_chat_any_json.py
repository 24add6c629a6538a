"""Whatever JSON a client sends, the answer is a chat request or a `Problem`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core.chat import parse_chat, prompt_text_bytes, read_chat
from app.core.chat_fields import KNOWN_FIELDS
from app.core.errors import Problem
from app.core.tokens import count_messages
from tests.core.chat_samples import FULL, HI

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def read_or_refuse(body: bytes) -> None:
    refusal = None
    try:
        request = parse_chat(body)
        assert prompt_text_bytes(request) >= 0
        assert isinstance(request.effort, str | None)
        assert isinstance(request.searches_web, bool)
        assert count_messages(request.messages, request.tools) > 0
    except Problem as problem:
        refusal = problem
    assert refusal is None or (refusal.status == 400 and refusal.body())


@given(name=st.sampled_from(sorted(KNOWN_FIELDS)), value=JSON)
def test_any_json_in_any_field_is_a_request_or_a_problem(name: str, value: Any) -> None:
    read_or_refuse(json.dumps({"messages": [HI], name: value}).encode())


@given(path=st.sampled_from(places(FULL)), value=JSON)
def test_any_json_anywhere_inside_a_full_request_is_a_request_or_a_problem(
    path: tuple[str | int, ...], value: Any
) -> None:
    read_or_refuse(json.dumps(replaced(FULL, path, value)).encode())


def test_the_full_request_of_these_tests_is_a_good_one() -> None:
    before = json.dumps(FULL)
    assert read_chat(FULL).has_images
    assert json.dumps(FULL) == before
