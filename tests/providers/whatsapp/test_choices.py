"""Choices as buttons, as a list, as numbered text: what fits where, and that nothing is offered twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.whatsapp.choices import cut, interactive, numbered
from app.providers.whatsapp.line import ChoiceContent

FAMILY = "👨‍👩‍👧‍👦"


def choices(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"id{number}", f"Choice {number}") for number in range(count))


def shown(content: ChoiceContent) -> Any:
    found = interactive(content)
    return None if found is None else found["type"]


@pytest.mark.parametrize(
    ("count", "kind"), [(0, None), (1, "button"), (3, "button"), (4, "list"), (10, "list"), (11, None)]
)
def test_three_are_buttons_ten_are_a_list_and_more_are_text(count: int, kind: str | None) -> None:
    assert shown(ChoiceContent("Well?", choices(count))) == kind


def test_a_list_has_a_label_and_rows() -> None:
    content = ChoiceContent("Well?", choices(4), "All that we have to offer")
    assert interactive(content) == {
        "type": "list",
        "body": {"text": "Well?"},
        "action": {
            "button": "All that we have to",
            "sections": [{"rows": [{"id": f"id{n}", "title": f"Choice {n}"} for n in range(4)]}],
        },
    }


def test_a_long_body_makes_a_list_of_buttons_and_a_longer_one_text() -> None:
    assert shown(ChoiceContent("x" * 1024, choices(2))) == "button"
    assert shown(ChoiceContent("x" * 1025, choices(2))) == "list"
    assert shown(ChoiceContent("x" * 4097, choices(2))) is None


@pytest.mark.parametrize(
    "offered",
    [
        (("a", "Same"), ("b", "Same")),
        (("a", "One"), ("a", "Two")),
        (("a", "  "), ("b", "Two")),
        (("", "One"), ("b", "Two")),
        (("x" * 257, "One"), ("b", "Two")),
        (("a", "The very same beginning, first"), ("b", "The very same beginning, second")),
    ],
)
def test_what_meta_would_refuse_becomes_text(offered: tuple[tuple[str, str], ...]) -> None:
    assert interactive(ChoiceContent("Well?", offered)) is None


def test_titles_that_are_alike_on_buttons_only_become_a_list() -> None:
    assert shown(ChoiceContent("Well?", (("a", "Exactly twenty chars 1"), ("b", "Exactly twenty chars 2")))) == "list"


def test_numbered_text_says_it_all() -> None:
    assert numbered(ChoiceContent("Well?", (("y", "Yes"), ("n", "No")))) == "Well?\n\n1. Yes\n2. No"
    assert numbered(ChoiceContent("Well?", ())) == "Well?"


def test_a_title_is_never_cut_inside_of_a_character() -> None:
    assert cut("x" * 19 + FAMILY, 20) == "x" * 19
    assert cut("क्षत्रिय" * 5, 20) == "क्षत्रिय" * 2 + "क्ष"


@given(st.text(max_size=60), st.integers(1, 30))
def test_a_cut_is_a_beginning_that_fits(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert len(kept) <= limit
    assert " ".join(text.split()).startswith(kept)


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=12), st.text())
def test_whatever_is_offered_fits_meta(body: str, offered: list[tuple[str, str]], label: str) -> None:
    found = interactive(ChoiceContent(body, tuple(offered), label))
    if found is None:
        return
    assert 0 < len(found["body"]["text"]) <= 4096
    action = found["action"]
    rows = action["sections"][0]["rows"] if found["type"] == "list" else [each["reply"] for each in action["buttons"]]
    assert len(rows) == len(offered) == len({row["title"] for row in rows}) == len({row["id"] for row in rows})
    longest = 24 if found["type"] == "list" else 20
    assert all(0 < len(row["title"]) <= longest and row["id"] for row in rows)
