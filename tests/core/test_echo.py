"""What a provider quotes of a prompt is masked, and its own words stay."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.echo import without_echo

MESSAGES = [
    {"role": "system", "content": "You are Ada, a nurse."},
    {"role": "user", "content": [{"type": "text", "text": "मेरा नाम राम है. Diagnosis: F32.1 (4111-1111)"}]},
    {"role": "assistant", "tool_calls": [{"function": {"name": "find_patient", "arguments": '{"id": "P-77812"}'}}]},
]


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("context window exceeded", "context window exceeded"),
        ("Invalid content: 'You are Ada, a nurse.'", "Invalid content: '*** *** ***, a ***.'"),
        ("at 'DIAGNOSIS: F32.1 (4111-1111)'", "at '***: ***.1 (***-***)'"),
        ("near मेरा नाम", "near *** ***"),
        ("在“नाम\uff1aराम”", "在“***\uff1a***”"),
        ("tool find_patient got P-77812", "tool ***_*** got P-***"),
        ("role user and type text are fine", "role user and type text *** fine"),
        ("", ""),
    ],
)
def test_words_of_the_prompt_are_masked_and_others_stay(line: str, left: str) -> None:
    assert without_echo(line, MESSAGES, None) == left


@given(st.text(), st.text())
def test_no_word_of_the_prompt_is_left_in_whatever_is_said_around_it(prompt: str, around: str) -> None:
    left = without_echo(f"{around} {prompt} {around}", [{"content": prompt}]).replace("***", " ")
    assert [char for char in left if not char.isascii() and char in prompt] == []
    assert [word for word in re.findall("[A-Za-z0-9]{3,}", left) if word in prompt] == []


def test_a_prompt_nested_deeper_than_the_stack_is_searched() -> None:
    deep: object = "wombat"
    for _ in range(5000):
        deep = [deep]
    assert without_echo("no wombat", deep) == "no ***"
