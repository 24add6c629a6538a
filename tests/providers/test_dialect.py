"""The shared readers of failures: waiting times, masks, the parse rule."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import CODES
from app.providers import dialect
from app.providers.dialect import LONGEST_WAIT_S, Verdict, masked, retry_after_s
from app.providers.openai_compatible import openai_error

NOW: Final = 1767304800.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("1.5", 1.5),
        (3, 3),
        (2.5, 2.5),
        ("999999999", LONGEST_WAIT_S),
        ("Thu, 01 Jan 2026 22:01:30 GMT", 90),
        ("Thu, 01 Jan 2026 22:01:30 -0000", 90),
        ("Thu, 01 Jan 2026 21:00:00 GMT", 0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", LONGEST_WAIT_S),
        ("-3", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_a_waiting_time_is_read_in_every_form_and_bounded(value: object, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(st.text() | st.floats() | st.integers() | st.none())
def test_no_waiting_time_can_break_the_reader(value: object) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT_S


@given(st.integers(min_value=0, max_value=80_000))
def test_a_date_and_a_number_of_seconds_mean_the_same(seconds: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)
    assert retry_after_s(date, NOW) == retry_after_s(str(seconds), NOW) == seconds


@pytest.mark.parametrize(
    "key", ["sk-abcdef123456", "Bearer abc.def.ghi", "BEARER x", "API key: hunter22", "pk_live_12345", "a1" * 16]
)
def test_whatever_looks_like_a_key_is_masked(key: str) -> None:
    assert masked(f"before {key} after", "") in ("before *** after", "before API *** after")


def test_our_own_key_is_masked_whatever_it_looks_like() -> None:
    assert masked("say friend to enter", "friend") == "say *** to enter"


@given(st.text(max_size=3000))
def test_a_masked_text_is_short_and_printable(text: str) -> None:
    line = masked(text, "secret")
    assert len(line.encode()) <= 200
    assert line.isprintable()


@pytest.mark.parametrize(
    ("body", "words", "kind", "code"),
    [
        (b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', "m", "t", "c"),
        (b'{"error":{"message":"m","type":"BadRequestError","code":400}}', "m", "BadRequestError", "400"),
        (b'{"error":"text"}', "text", "", ""),
        (b'{"object":"error","message":"m","type":"t","code":400}', "m", "t", "400"),
        (b"<html>oops</html>", "<html>oops</html>", "", ""),
        (b"x" * 500, "x" * 200, "", ""),
    ],
)
def test_every_known_envelope_gives_its_words(body: bytes, words: str, kind: str, code: str) -> None:
    fault = openai_error(body)
    assert (fault.words, fault.type, fault.code) == (words, kind, code)


def test_every_verdict_has_a_code_that_clients_know() -> None:
    verdicts = [value for value in vars(dialect).values() if isinstance(value, Verdict)]
    assert len(verdicts) > 10
    assert {verdict.code for verdict in verdicts} <= CODES.keys()
