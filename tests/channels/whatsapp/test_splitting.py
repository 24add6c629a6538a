"""Parts of a long text: their size, where they are cut, and that nothing is lost between them."""

from __future__ import annotations

import re
import time

import pytest
import regex  # type: ignore[import-untyped]  # it ships no types
from hypothesis import example, given
from hypothesis import strategies as st

from channels.whatsapp.splitting import shorten, split

PIECES = st.sampled_from(
    [
        *(
            "a",
            "word ",
            "A sentence. ",
            "Why? ",
            "हाँ। ",
            "क्षि",
            "\n",
            "\n\n",
            " ",
            "  ",
            "é",
            "e\u0301",
            " \u0301",
            "漢字。",
        ),
        *(
            "👨‍👩‍👧‍👦",
            "🇮🇳",
            "👍🏽",
            "https://x.example/some/path ",
            "https://x.example/p?q=1\n",
            "\u0600",
            "\r\n",
            "`",
            "*b* ",
        ),
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=3), max_size=80).map("".join)
LIMIT = st.integers(12, 60)
#: Blocks that only a cut can make fit.
FENCED = st.lists(
    PIECES.filter(lambda piece: "`" not in piece) | st.just("\n```\nx = 1\n  y = 2\n```\n"), max_size=60
).map("".join)


def graphemes(text: str) -> list[str]:
    return [found for found in regex.findall(r"\X", text) if not found.isspace()]


def unspaced(text: str) -> str:
    return "".join(text.split())


@given(text=TEXT, limit=LIMIT)
@example(text="🇮🇳" * 20, limit=13)
@example(text="a" + "\u0301" * 100, limit=12)
def test_no_part_is_too_long_or_blank_and_nothing_but_white_space_is_lost(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(part.strip() and len(part) <= limit for part in parts)
    assert unspaced("".join(parts)) == unspaced(text)


@given(text=TEXT, limit=st.integers(30, 60))
def test_every_grapheme_is_in_one_part(text: str, limit: int) -> None:
    text = text.strip()
    if max(map(len, graphemes(text)), default=0) > limit:
        return
    assert [each for part in split(text, limit) for each in graphemes(part)] == graphemes(text)


@given(words=st.lists(st.sampled_from(["one", "two.", "https://x.example/a/b?c=d", "三。"]), max_size=40), limit=LIMIT)
def test_an_address_that_fits_is_whole(words: list[str], limit: int) -> None:
    url = "https://x.example/a/b?c=d"
    text = " ".join(words)
    if limit >= len(url):
        assert sum(part.count(url) for part in split(text, limit)) == text.count(url)


@given(text=FENCED, limit=st.integers(64, 120))
def test_fences_are_balanced_in_each_part_and_the_rest_is_kept(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(len(part) <= limit for part in parts)
    assert all(len(re.findall(r"^```", part, re.MULTILINE)) % 2 == 0 for part in parts)
    assert unspaced("".join(parts)).replace("```", "") == unspaced(text).replace("```", "")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" \n ", []),
        ("short", ["short"]),
        ("one two three\n\nfour five\nsix. seven", ["one two three", "four five\nsix. seven"]),
        ("one two three\nfour five. six seven", ["one two three", "four five. six seven"]),
        ("one two three. four five six seven", ["one two three.", "four five six seven"]),
        ("एक दो तीन। चार पाँच छह सात आठ", ["एक दो तीन।", "चार पाँच छह सात आठ"]),
        ("一二三四五六七八九十一二三。五六七八九十一二三四", ["一二三四五六七八九十一二三。", "五六七八九十一二三四"]),
        ("one two three four five six", ["one two three four", "five six"]),
        ("costs 3.14 or 2.71 of them", ["costs 3.14 or 2.71", "of them"]),
        ("abcdefghijklmnopqrstuvwxyz", ["abcdefghijklmnopqrst", "uvwxyz"]),
        ("Hi\n\none two three four five", ["Hi\n\none two three", "four five"]),
    ],
)
def test_a_text_is_cut_at_the_best_place(text: str, parts: list[str]) -> None:
    assert split(text, 20) == parts


def test_an_address_longer_than_a_part_is_cut_and_another_is_moved() -> None:
    long = "https://x.example/" + "a" * 30
    assert split(f"see {long}", 20)[0] == "see"
    assert "".join(split(long, 20)) == long
    assert split("漢字漢字漢字https://x.example/", 20) == ["漢字漢字漢字", "https://x.example/"]


def test_a_block_that_is_cut_is_closed_and_opened_again_with_its_indentation() -> None:
    code = "\n".join(f"    line {number}" for number in range(20))
    first, second, *_ = split(f"Look:\n\n```\n{code}\n```\nDone.", 100)
    assert first.startswith("Look:\n\n```\n    line 0\n")
    assert first.endswith("\n```")
    assert second.startswith("```\n    line ")


def test_a_block_near_the_end_of_a_part_goes_to_the_next_whole() -> None:
    block = "```\n" + "x = 1\n" * 5 + "```"
    assert split("words " * 12 + "\n\n" + block, 90) == [("words " * 12).strip(), block]


def test_a_fence_that_never_closes_is_text() -> None:
    assert "".join(split("```\n" + "a" * 200, 100)).count("```") == 1


def test_a_shortened_text_says_so_within_the_limit() -> None:
    assert shorten("one two three", 13) == "one two three"
    assert shorten("one two three", 12) == "one two…"


@pytest.mark.parametrize(
    "text", ["a", "🇮🇳", "**", "e\u0301", "``` ", "a\n", "https://", ". ", " \u0301", "``````\n", "."]
)
def test_64_kib_of_one_kind_are_split_at_once(text: str) -> None:
    whole = text * (65_536 // len(text))
    began = time.perf_counter()
    split(whole, 4000)
    assert time.perf_counter() - began < 30.0  # what grows with the square of the length would take minutes
