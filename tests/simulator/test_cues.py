"""Cues in the prompt and triggers in the model id."""

from __future__ import annotations

import pytest

from scripts.simulator.cues import CUES, CueError, Cues, read_cues


def test_a_prompt_without_cues_asks_for_nothing() -> None:
    assert read_cues("openai/gpt-5.4", "What is [this]?") == Cues()


def test_all_cues_are_read_wherever_they_stand() -> None:
    text = "a [tag=x-1] b[tokens=200][reasoning=3] [cached=8] [pace=12.5]\n[first=300] [tools=2] [ids=me]"
    assert read_cues("m", text) == Cues(
        tag="x-1", tokens=200, reasoning=3, cached=8, pace=12.5, first_ms=300, tools=2, ids="me"
    )


def test_a_bare_tool_cue_means_one_call() -> None:
    assert read_cues("m", "[tool]").tools == 1


def test_triggers_come_from_model_and_prompt() -> None:
    cues = read_cues("@cf/mock/fail_once:k1+no_usage", "[mock=length] [mock=late_error:30]")
    assert cues.triggers == ("fail_once:k1", "no_usage", "length", "late_error:30")


@pytest.mark.parametrize("text", ["[tokens=many]", "[pace=-1]", "[first=inf]", "[tools=nan]", "[cached=]"])
def test_a_number_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(CueError, match=r"needs a number"):
        read_cues("m", text)


@pytest.mark.parametrize("shown", CUES)
def test_every_cue_in_the_help_is_understood(shown: str) -> None:
    example = shown.replace("=N", "=5").replace("=TRIGGER", "=429").replace("=WORD", "=w")
    assert read_cues("m", example) != Cues()
