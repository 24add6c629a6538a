"""What may be asked of speech, in both directions, and how long texts are cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.speech import known_voice, parse_speech, split_text
from app.core.transcription import Transcript, read_transcription, render


@given(st.text(st.sampled_from("ab .\n,।"), max_size=300), st.integers(10, 60))
def test_a_text_in_pieces_is_the_text(text: str, longest: int) -> None:
    pieces = split_text(text, longest)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= longest


def test_a_text_is_cut_behind_its_sentences_then_its_clauses_then_its_words() -> None:
    assert split_text("One two three. Four five.", 20) == ["One two three.", " Four five."]
    assert split_text("one two three, four five", 20) == ["one two three,", " four five"]
    assert split_text("one two three four", 16) == ["one two three ", "four"]
    assert split_text("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_voice_is_known_in_any_case_and_an_unknown_one_is_the_models_own() -> None:
    assert known_voice("KAVYA", ("shubh", "kavya"), "shubh") == "kavya"
    assert known_voice("alloy", ("shubh", "kavya"), "shubh") == "shubh"
    assert known_voice(None, ("shubh",), "shubh") == "shubh"


def test_a_character_is_a_character_in_any_script() -> None:
    assert parse_speech(msgspec.json.encode({"input": "नमस्ते 👍"})).characters == 8


def test_brackets_of_a_list_and_repeated_names_are_one_field() -> None:
    for form in ({"timestamp_granularities[]": ["segment", "word"]}, {"timestamp_granularities": ["word"]}):
        assert read_transcription(form, translate=False).words


def test_an_empty_field_is_one_that_was_not_sent() -> None:
    wish = read_transcription({"language": [""], "prompt": [""], "stream": [""]}, translate=False)
    assert (wish.language, wish.prompt) == (None, None)


def test_a_translation_has_no_mode_of_its_own() -> None:
    with pytest.raises(Problem) as refused:
        read_transcription({"mode": ["verbatim"]}, translate=True)
    assert refused.value.param == "mode"


@pytest.mark.parametrize(
    ("form", "translate", "told"),
    [
        ({}, False, ("transcribe", "hi-IN")),
        ({"mode": ["translate"]}, False, ("translate", "en")),
        ({}, True, ("translate", "en")),
    ],
)
def test_verbose_json_names_task_language_and_length(form: Any, translate: bool, told: tuple[str, str]) -> None:
    wish = read_transcription({**form, "response_format": ["verbose_json"]}, translate=translate)
    content_type, body = render(wish, Transcript("hello", "hi-IN"), 1234)
    answer = msgspec.json.decode(body)
    assert (content_type, answer["task"], answer["language"]) == ("application/json", *told)
    assert (answer["duration"], answer["segments"], answer["words"]) == (1.234, [], [])
