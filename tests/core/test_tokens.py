"""Token counts: the known values, the promise about pieces, and that size costs linearly."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.core import tokens
from app.core.tokens import count_messages, count_text

WORD = st.text(alphabet="aBé1'.!/\n\t\u00a0\u3000नम漢ि😀", min_size=1, max_size=7).filter(lambda w: not w[-1].isspace())


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("hello world", 2), ("What is the capital of India?", 7), ("<|endoftext|>", 7), ("1234567", 3)],
)
def test_known_texts_have_their_o200k_counts(text: str, count: int) -> None:
    assert count_text(text) == count


def test_a_lone_surrogate_counts_as_the_replacement_character() -> None:
    assert count_text("a\ud800b") == count_text("a\ufffdb")


@given(text=st.text())
def test_any_text_has_a_count_no_larger_than_its_bytes(text: str) -> None:
    assert 0 <= count_text(text) <= len(text.encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORD, max_size=30))
@example(words=["ab   "] * 12)
def test_counting_in_pieces_changes_nothing_when_there_are_spaces(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    text = " ".join(words)
    whole = count_text(text)
    with monkeypatch.context() as patched:
        patched.setattr(tokens, "PIECE", 16)
        assert count_text(text) == whole


def test_a_long_text_is_the_sum_of_its_sentences() -> None:
    sentence = " The quick brown fox jumps over the lazy dog."
    assert count_text(sentence * 30_000) == 30_000 * count_text(sentence)


def test_a_long_text_without_spaces_is_off_by_a_few_tokens_at_most() -> None:
    cuts = 2_000_000 // tokens.PIECE
    assert abs(count_text("漢" * 2_000_000) - 2_000_000) <= cuts


@pytest.mark.parametrize("text", ["a", " ", "\n ", "aB", "!?", "1", "́"])
def test_five_megabytes_of_one_kind_are_counted_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    count_text(text * (5_000_000 // len(text)))
    assert time.perf_counter() - started < 3


def test_other_threads_get_their_turn_while_a_long_text_is_counted() -> None:
    turns = 0
    counting = threading.Thread(target=count_text, args=("The quick brown fox jumps over the lazy dog. " * 200_000,))
    counting.start()
    while counting.is_alive():
        time.sleep(0.0005)
        turns += 1
    assert turns >= 5


HELLO = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Pune"}'}}


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (HELLO, 1),
        ({"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "hello"}]}, 2),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e/x.png"}}]}, 258),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e/x.png"}, "text": ""}]},
            258,
        ),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "hello"}]}, 1),
        ({"role": "assistant", "content": None}, 0),
        ({"role": "assistant"}, 0),
        ({"role": "assistant", "content": "", "reasoning_content": "hello"}, 1),
        ({"role": "user", "content": "hello", "name": "hello"}, 3),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, 1 + count_text('{"city":"Pune"}')),
    ],
)
def test_a_message_costs_its_frame_and_what_it_carries(message: dict[str, Any], count: int) -> None:
    assert count_messages([message]) == 3 + 4 + count


def test_a_conversation_primes_the_reply_once() -> None:
    assert count_messages([HELLO, HELLO]) == 3 + 2 * (4 + 1)


def test_tools_count_as_compact_json() -> None:
    tools = [{"type": "function", "function": {"name": "मौसम"}}]
    extra = count_messages([HELLO], tools) - count_messages([HELLO])
    assert extra == count_text('[{"type":"function","function":{"name":"मौसम"}}]')
