"""Embeddings requests within their bounds, and vectors in either encoding whatever the provider sent."""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from app.core.embeddings import EmbeddingRequest, Encoding, Vector, encoded, parse_embeddings
from app.core.errors import Problem

NUMBERS = [0.5, -1.25, 3.0]
PACKED = b64encode(struct.pack("<3f", *NUMBERS)).decode()


def parsed(**fields: Any) -> EmbeddingRequest:
    return parse_embeddings(msgspec.json.encode({"model": "bge-m3", "input": "hi", **fields}))


def converted(value: Any, encoding: Encoding, dimensions: int | None = None) -> Any:
    vector = Vector(msgspec.Raw(msgspec.json.encode(value)))
    return msgspec.json.decode(encoded(vector, encoding, dimensions))


def test_a_text_and_a_list_of_texts_are_both_read() -> None:
    assert parsed().texts == ("hi",)
    assert parsed(input=["a", "b"]).texts == ("a", "b")
    assert parsed().encoding == "float"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "invalid_type", "input"),
        ({"input": ""}, "invalid_value", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": ["a", ""]}, "invalid_value", "input[1]"),
        ({"input": ["a"] * 129}, "invalid_value", "input"),
        ({"input": [1, 2, 3]}, "invalid_type", "input[0]"),
        ({"input": [[1, 2]]}, "invalid_type", "input[0]"),
        ({"input": ["a", "x" * 100_001]}, "request_too_large", "input[1]"),
        ({"encoding_format": "int8"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
        ({"dimensions": 1.5}, "invalid_type", "dimensions"),
        ({"model": ""}, "invalid_value", "model"),
    ],
)
def test_a_field_out_of_its_bounds_is_named(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(Problem) as raised:
        parsed(**fields)
    assert (raised.value.code, raised.value.param) == (code, param)


def test_a_model_is_required() -> None:
    with pytest.raises(Problem) as raised:
        parse_embeddings(b'{"input": "hi"}')
    assert (raised.value.code, raised.value.param) == ("missing_required_parameter", "model")


@pytest.mark.parametrize("sent", [NUMBERS, PACKED])
def test_either_form_becomes_the_one_the_client_wants(sent: Any) -> None:
    assert converted(sent, "float") == NUMBERS
    assert b64decode(converted(sent, "base64")) == struct.pack("<3f", *NUMBERS)


@pytest.mark.parametrize(
    "sent", [[], [None], ["1"], [1, [2]], {}, None, "", "###", b64encode(b"abc").decode(), [1e999], [0.5, True]]
)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_what_is_no_vector_is_refused(sent: Any, encoding: Encoding) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        converted(sent, encoding)


def test_a_vector_of_another_length_than_asked_for_is_refused() -> None:
    assert converted(NUMBERS, "float", 3) == NUMBERS
    for sent in (NUMBERS, PACKED):
        with pytest.raises(ValueError, match="dimensions"):
            converted(sent, "float", 2)
