from __future__ import annotations

from typing import Any

import pytest

from app.core.chunks import read_usage
from app.core.deltas import Delta, Usage
from app.core.normalise import Malformed, StreamFault
from tests.core.streams import chunk, normaliser, take


def test_c12_an_error_object_is_a_fault() -> None:
    error = {"code": 429, "message": "Rate limit exceeded", "metadata": {"error_type": "rate_limit_exceeded"}}
    with pytest.raises(StreamFault) as caught:
        normaliser().feed(chunk({"content": ""}, finish="error", error=error))
    assert caught.value.error == error


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b'{"error":{"message":"boom","code":null}}', {"message": "boom", "code": None}),
        (b'{"error":"boom"}', {"message": "boom"}),
        (chunk({}, choice={"error": {"code": 502, "message": "x"}}), {"code": 502, "message": "x"}),
        (chunk({}, finish="error"), {"message": "the choice finished with an error"}),
        (b'{"object":"error","message":"m","code":400}', {"object": "error", "message": "m", "code": 400}),
        (b'{"errors":[{"message":"AiError","code":5007}],"success":false}', {"message": "AiError", "code": 5007}),
    ],
)
def test_c12_every_way_to_report_an_error_in_band_is_a_fault(payload: bytes, error: dict[str, Any]) -> None:
    with pytest.raises(StreamFault) as caught:
        normaliser().feed(payload)
    assert caught.value.error == error


@pytest.mark.parametrize("error", [None, {}, {"code": 0}, {"code": 0, "message": ""}, "", False])
def test_c12_an_error_of_nothing_on_a_good_chunk_is_ignored(error: Any) -> None:
    upstream = normaliser()
    good = chunk({"content": "a"}, choice={"error": error}, error=error)
    assert take(upstream, [good, good]) == [Delta(0, "a"), Delta(0, "a")]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"choices":{}}',
        b'{"choices":["x"]}',
        b'{"choices":[{"delta":"x"}]}',
        b'{"choices":[{"index":"0","delta":{}}]}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"usage":' + b"[" * 100_000,
        b'{"unknown":1e999}',
        b"<html>502</html>",
    ],
)
def test_what_is_no_chunk_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        normaliser().feed(payload)


@pytest.mark.parametrize(
    "payload", [b'{"choices":[{"delta":{"content":"secret\xff"}}]}', b'{"choices":"secret"}', b"secret"]
)
def test_the_detail_of_a_malformed_chunk_never_quotes_it(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        normaliser().feed(payload)
    assert caught.value.detail
    assert "secret" not in f"{caught.value.detail} {caught.value} {caught.value.__cause__}"


def test_an_explicit_zero_is_zero_and_nothing_is_none() -> None:
    assert read_usage({"prompt_tokens": 0, "completion_tokens": 0}) == Usage()
    assert read_usage({"prompt_tokens": 4}) is None
    assert read_usage({}) is None
    assert read_usage([]) is None


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens_details": {}, "completion_tokens_details": None}, Usage(9, 5)),
        ({"prompt_tokens_details": {"cached_tokens": None, "audio_tokens": 2}}, Usage(9, 5, audio_in=2)),
        ({"prompt_tokens_details": "x", "completion_tokens_details": [1]}, Usage(9, 5)),
        ({"cached_tokens": 4}, Usage(9, 5, cached=4)),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 4}, Usage(9, 5)),
        ({"prompt_cache_hit_tokens": 3}, Usage(9, 5, cached=3)),
        ({"prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 9}}, Usage(9, 5, cached=9)),
        ({"prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 9}}, Usage(9, 5, 6, 3)),
        (
            {"completion_tokens_details": {"reasoning_tokens": 99, "audio_tokens": 1}},
            Usage(9, 5, reasoning=5, audio_out=1),
        ),
        ({"completion_tokens_details": {"reasoning_tokens": -1}, "cached_tokens": True}, Usage(9, 5)),
    ],
)
def test_usage_details_are_read_with_suspicion(raw: dict[str, Any], usage: Usage) -> None:
    assert read_usage({"prompt_tokens": 9, "completion_tokens": 5.0} | raw) == usage


@pytest.mark.parametrize("count", [-1, "9", 1.5, True, None, 10**30])
def test_a_total_that_is_no_count_is_no_usage(count: Any) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 5}) is None
