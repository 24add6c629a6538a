"""A reply as the messages that it takes."""

from __future__ import annotations

from typing import Literal

import pytest

from channels.whatsapp.text_form import PART_LIMITS, reply_parts

PARAGRAPH = "Thank you for **asking** about our plans, of which there are several.\n\n"


@pytest.mark.parametrize("provider", ["meta", "twilio"])
def test_a_reply_of_many_pages_is_five_parts_of_which_the_last_says_that_there_was_more(
    provider: Literal["meta", "twilio"],
) -> None:
    parts = reply_parts(PARAGRAPH * 1000, provider)
    assert len(parts) == 5
    assert all(len(part) <= PART_LIMITS[provider] for part in parts)
    assert [part.endswith("…") for part in parts] == [False] * 4 + [True]
    assert "*asking*" in parts[4]


def test_a_reply_of_five_parts_ends_as_it_was_written() -> None:
    parts = reply_parts(PARAGRAPH * 100, "twilio")
    assert len(parts) == 5
    assert not parts[4].endswith("…")


def test_what_is_cut_in_code_closes_it_first() -> None:
    parts = reply_parts("```\n" + "x = 1\n" * 5000 + "```", "meta")
    assert parts[4].endswith("\n```\n…")
    assert len(parts[4]) <= PART_LIMITS["meta"]


def test_a_blank_reply_has_no_part() -> None:
    assert reply_parts(" \n---\n<br>", "meta") == []
