"""Bodies that are no JSON object, and fields of the wrong kind: each named, none a crash."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta

from app.core.decode import MAX_DEPTH, convert, decode_object, storable
from app.core.errors import Problem


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "empty"),
        (b" \n", None, "empty"),
        (b"[]", None, "must be a JSON object, got an empty array"),
        (b"3", None, "got 3"),
        (b'"key"', None, "got a string"),
        (b"null", None, "got null"),
        (b'{"a":1,}', None, "trailing comma in object (byte 7)"),
        (b'{"a":"b', None, "truncated"),
        (b"model=x", None, "not valid JSON"),
        (b'{"a":"\xff"}', None, "not UTF-8 (byte 6)"),
        ('{"a":1}'.encode("utf-16"), None, "not UTF-8"),
        (b'{"a":[1,{"b":NaN}]}', "a[1].b", "finite number"),
        (b'{"a":-Infinity}', "a", "finite number"),
        (b'{"a":1e999}', "a", "finite number"),
        (b'{"a":' + b"9" * 5000 + b"}", "a", "finite number"),
        (b'{"m":[{"content":"x\\ud800y"}]}', "m[0].content", "lone surrogate"),
        (b'{"a":"\\ude00"}', "a", "lone surrogate"),
        (b'{"a":{"\\ud800":1}}', "a.\\ud800", "lone surrogate"),
        (nested(MAX_DEPTH + 1), None, f"at most {MAX_DEPTH} levels"),
        (b'{"a":' + b"[" * 100_000, None, f"at most {MAX_DEPTH} levels"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_with_place_and_cure(
    body: bytes, param: str | None, words: str
) -> None:
    with pytest.raises(Problem) as caught:
        decode_object(body)
    problem = caught.value
    assert (problem.status, problem.code, problem.param) == (400, "invalid_request_error", param)
    assert words in problem.message


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' {"a":1}\n', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
        (b'{"a":18446744073709551616}', {"a": 2**64}),
    ],
)
def test_an_unusual_but_valid_object_is_read(body: bytes, value: dict[str, Any]) -> None:
    assert decode_object(body) == value


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert "a" in decode_object(nested(MAX_DEPTH))


def test_many_shallow_objects_are_not_too_deep() -> None:
    assert len(decode_object(b'{"a":[' + b"{}," * 5000 + b"{}]}")["a"]) == 5001


def test_a_param_made_of_the_clients_own_key_is_clipped() -> None:
    with pytest.raises(Problem) as caught:
        decode_object(b'{"' + b"k" * 10_000 + b'":NaN}')
    assert caught.value.param == "k" * 200


@given(body=st.binary() | st.text().map(str.encode))
@example(body=b'{"a":\xed\xa0\x80}')
def test_any_bytes_are_an_object_or_a_problem(body: bytes) -> None:
    try:
        assert isinstance(decode_object(body), dict)
    except Problem as problem:
        problem.body()


class Inner(msgspec.Struct):
    role: Literal["a", "b"]
    size: Annotated[int, Meta(ge=1)] | None = None


class One(msgspec.Struct, tag_field="type", tag="one"):
    text: str


class Two(msgspec.Struct, tag_field="type", tag="two"):
    url: str


class Outer(msgspec.Struct):
    items: Annotated[list[Inner], Meta(min_length=1, max_length=3)]
    name: Annotated[str, Meta(min_length=1)] | None = None
    note: Annotated[str, Meta(max_length=4)] | None = None
    ratio: Annotated[float, Meta(ge=-1.5, le=2)] | None = None
    flag: bool | None = None
    bias: Annotated[dict[str, Annotated[float, Meta(le=1)]], Meta(max_length=2)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=2)] | None = None
    parts: list[One | Two] | None = None
    mode: Literal["only"] | None = None
    limit: Annotated[int, Meta(le=9)] | None = None


ITEMS = [{"role": "a"}]
MISSING, WRONG, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"


@pytest.mark.parametrize(
    ("change", "code", "param", "message"),
    [
        ({"items": []}, VALUE, "items", "items must be an array of 1 to 3 objects, got an empty array."),
        ({"items": ITEMS * 4}, VALUE, "items", "items must be an array of 1 to 3 objects, got an array of 4 items."),
        (
            {"items": "secret"},
            WRONG,
            "items",
            "items must be an array of 1 to 3 objects, got a string of 6 characters.",
        ),
        ({"items": [3]}, WRONG, "items[0]", "items[0] must be an object, got 3."),
        ({"items": [{}]}, MISSING, "items[0].role", 'items[0].role is required: send one of "a", "b".'),
        ({"items": [{"role": "c"}]}, VALUE, "items[0].role", 'items[0].role must be one of "a", "b", got "c".'),
        ({"items": [{"role": 4}]}, WRONG, "items[0].role", 'items[0].role must be one of "a", "b", got 4.'),
        (
            {"items": [*ITEMS, {"role": "b", "size": 0}]},
            VALUE,
            "items[1].size",
            "items[1].size must be an integer of at least 1, got 0.",
        ),
        ({"name": ""}, VALUE, "name", "name must be a non-empty string, got an empty string."),
        (
            {"note": "12345"},
            VALUE,
            "note",
            "note must be a string of at most 4 characters, got a string of 5 characters.",
        ),
        ({"ratio": 3}, VALUE, "ratio", "ratio must be a number from -1.5 to 2, got 3."),
        ({"ratio": True}, WRONG, "ratio", "ratio must be a number from -1.5 to 2, got true."),
        ({"ratio": 10**400}, VALUE, "ratio", "ratio must be a number from -1.5 to 2, got a number of 401 digits."),
        ({"flag": "yes"}, WRONG, "flag", "flag must be true or false, got a string of 3 characters."),
        ({"bias": {"k": 2}}, VALUE, "bias", "Every entry of bias must be a number of at most 1."),
        ({"bias": {"k": "x"}}, WRONG, "bias", "Every entry of bias must be a number of at most 1."),
        (
            {"bias": {"a": 0, "b": 0, "c": 0}},
            VALUE,
            "bias",
            "bias must be an object of at most 2 entries, got an object of 3 entries.",
        ),
        ({"stop": {}}, WRONG, "stop", "stop must be a string or an array of at most 2 strings, got an empty object."),
        ({"stop": ["a", None]}, WRONG, "stop[1]", "stop[1] must be a string, got null."),
        ({"parts": {}}, WRONG, "parts", "parts must be an array of objects, got an empty object."),
        ({"parts": [{}]}, MISSING, "parts[0].type", 'parts[0].type is required: send one of "one", "two".'),
        ({"parts": [{"type": "x"}]}, VALUE, "parts[0].type", 'parts[0].type must be one of "one", "two", got "x".'),
        ({"parts": [{"type": "two"}]}, MISSING, "parts[0].url", "parts[0].url is required: send a string."),
        ({"mode": "x" * 99}, VALUE, "mode", f'mode must be "only", got "{"x" * 40}…".'),
        ({"mode": "x, got `y` - at `$.z`"}, VALUE, "mode", 'mode must be "only", got "x, got `y` - at `$.z`".'),
        ({"limit": 10}, VALUE, "limit", "limit must be an integer of at most 9, got 10."),
        ({"limit": 1.0}, WRONG, "limit", "limit must be an integer of at most 9, got 1.0."),
    ],
)
def test_a_wrong_field_is_named_with_what_it_must_be_and_what_was_sent(
    change: dict[str, Any], code: str, param: str, message: str
) -> None:
    with pytest.raises(Problem) as caught:
        convert({"items": ITEMS} | change, Outer)
    assert (caught.value.code, caught.value.param, caught.value.message) == (code, param, message)
    assert caught.value.status == 400


def test_a_missing_field_of_the_body_itself_is_named() -> None:
    with pytest.raises(Problem) as caught:
        convert({}, Outer)
    assert caught.value.code == MISSING
    assert caught.value.message == "items is required: send an array of 1 to 3 objects."


def test_null_means_absent_and_unknown_fields_pass() -> None:
    outer = convert({"items": ITEMS, "ratio": None, "later": 1}, Outer)
    assert outer.ratio is None


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ({"name": "a\0"}, "name"),
        ({"config": {"deep": ["fine", "\0"]}}, "config.deep[1]"),
        ({"config": {"a\0b": 1}}, "config"),
    ],
)
def test_what_is_kept_may_not_hold_the_character_that_a_database_cannot(raw: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as refused:
        storable(raw)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_what_is_kept_may_hold_any_other_character() -> None:
    raw = {"name": "\\u0000 \x01 हिन्दी 🙂", "list": [1, None, {"a": True}]}
    assert storable(raw) is raw


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limits: dict[str, int] = {}


@pytest.mark.parametrize("field", ["nmae", "rate`limit", "हिन्दी"])
def test_a_field_that_a_strict_body_does_not_know_is_named(field: str) -> None:
    with pytest.raises(Problem) as refused:
        convert({"name": "a", field: 1}, Strict)
    assert (refused.value.code, refused.value.param) == ("invalid_value", field)
