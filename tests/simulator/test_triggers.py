"""The table of triggers and how names become one behaviour."""

from __future__ import annotations

import pytest

from scripts.simulator.book import Book
from scripts.simulator.cues import CueError
from scripts.simulator.triggers import GOOD, TRIGGERS, choose

#: product/pains.md section 7, T1, without those of the Messages format.
PROMISED = [
    "hang_headers",
    "hang_headers_after_accept",
    "hang_mid",
    "slow_tokens",
    "5xx",
    "500",
    "502",
    "503",
    "529",
    "5xx_hang_body",
    "html_500",
    "401",
    "402",
    "403",
    "404",
    "noisy_headers",
    "429",
    "429_retry_after_7",
    "close_before_body",
    "bad_first_chunk",
    "eof_mid",
    "rst_mid",
    "error_mid",
    "drop_after_usage",
    "empty_answer",
    "usage_zero",
    "no_usage",
    "usage_each_chunk",
    "no_role",
    "role_each_chunk",
    "no_index",
    "all_zero_index",
    "stop_with_tools",
    "length",
    "split_utf8",
    "giant_line",
    "context_length",
    "content_policy",
    "bad_request",
    "invalid_json_body",
    "repeat_ids",
]


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_trigger_misbehaves(name: str) -> None:
    assert choose([name], Book().first_time) != GOOD


def test_every_trigger_says_in_one_line_what_it_does() -> None:
    assert [name for name, trigger in TRIGGERS.items() if not trigger.about or "\n" in trigger.about] == []


@pytest.mark.parametrize("name", ["nonsense", "fail_once", "fail_once:", "late_error:soon", "429:5", ""])
def test_a_trigger_that_does_not_exist_is_an_error(name: str) -> None:
    with pytest.raises(CueError, match="there is no trigger"):
        choose([name], Book().first_time)


def test_fail_once_fails_once_per_key() -> None:
    book = Book()
    refusals = [choose([f"fail_once:{key}"], book.first_time).refusal for key in ("a", "a", "b", "a")]
    assert refusals == ["server_error", None, "server_error", None]


def test_two_triggers_work_together() -> None:
    both = choose(["usage_each_chunk", "eof_mid", "no_role"], Book().first_time)
    assert (both.stop, both.ending) == ("content", "fin")
    assert both.quirks == {"usage_each_chunk", "no_role"}


def test_late_error_waits_as_long_as_told() -> None:
    assert choose(["late_error:250"], Book().first_time).delay_ms == 250
