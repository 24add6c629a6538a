"""One token a piece, whatever the length and wherever the text begins."""

from __future__ import annotations

import bpe_openai  # type: ignore[import-untyped]
import pytest

from app.core.tokens import count_text
from scripts.simulator import words
from scripts.simulator.words import Piece, cut_up, giant, say

ENCODE = bpe_openai.get_encoding("o200k_base").encode_ordinary


def tokens(text: str) -> int:
    return len(ENCODE(text))


@pytest.mark.parametrize("vocabulary", [words.STORY, words.NUMBERS, words.SCRIPTS], ids=["story", "numbers", "scripts"])
def test_every_piece_is_one_token(vocabulary: tuple[Piece, ...]) -> None:
    assert [piece for piece in vocabulary if tokens(piece.text) != 1] == []


@pytest.mark.parametrize("vocabulary", [words.STORY, words.NUMBERS, words.SCRIPTS], ids=["story", "numbers", "scripts"])
@pytest.mark.parametrize("choice", range(9))
def test_the_joined_text_has_as_many_tokens_as_pieces_at_every_length(
    vocabulary: tuple[Piece, ...], choice: int
) -> None:
    lengths = range(len(vocabulary) * 2 + 3)
    wrong = [n for n in lengths if tokens("".join(piece.text for piece in say(vocabulary, n, choice))) != n]
    assert wrong == []


def test_choices_begin_with_different_sentences() -> None:
    assert len({say(words.STORY, 5, choice) for choice in range(8)}) == 8


def test_the_numbered_text_counts() -> None:
    assert "".join(piece.text for piece in say(words.NUMBERS, 4)) == "one two three four"


def test_the_giant_is_a_mebibyte_and_knows_its_tokens() -> None:
    piece = giant()
    assert len(piece.text.encode()) >= 1 << 20
    assert piece.tokens == count_text(piece.text)


@pytest.mark.parametrize("text", ["", "{}", '{"city":"Pune","days":[1,2]}', "a (b) c… नमस्ते"])
def test_any_text_cut_up_keeps_its_letters_and_its_count(text: str) -> None:
    pieces = cut_up(text)
    assert "".join(piece.text for piece in pieces) == text
    assert sum(piece.tokens for piece in pieces) == tokens(text)
