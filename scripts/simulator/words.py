"""What the simulator says: texts cut into pieces of exactly one o200k_base token each, whatever stands before them."""

from __future__ import annotations

import re
from itertools import cycle, islice
from typing import Final, NamedTuple

from app.core.tokens import count_text


class Piece(NamedTuple):
    """A piece of text and the completion tokens it adds to what stands before it."""

    text: str
    tokens: int = 1


_STORY: Final = (
    "The market opens before the sun is up, and the first people to arrive are the ones who sell fruit. "
    "They bring small carts, set them in a long row and wait for the morning to begin. "
    "A good day starts with clear light and a cool wind from the river. "
    "By noon the street is full of voices, and every table has found its place. "
    "Some people come to buy, others come to talk, and most of them do both. "
    "When the rain starts, everyone moves under the same roof and the stories grow longer. "
    "In the evening the lamps are lit one by one, and the city slows down again. "
    "Nothing about it is new, yet no two days are ever the same."
)
_NUMBERS: Final = (
    "one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
)
_SCRIPTS: Final = "आप भारत में यह काम 😀 के लिए और 👍"
_GIANT_BYTES: Final = 1 << 20


def _pieces(text: str) -> tuple[Piece, ...]:
    """Marks, and words with the space before them: the first one too, for it follows the last in the next round."""
    return tuple(Piece(part) for part in re.findall(r" [^ .,]+|[.,]", f" {text}"))


STORY: Final = _pieces(_STORY)
NUMBERS: Final = _pieces(_NUMBERS)
SCRIPTS: Final = _pieces(_SCRIPTS)

#: Where each sentence of the story begins: choice k of an answer starts at sentence k.
_STARTS: Final = (0, *(at + 1 for at, piece in enumerate(STORY[:-1]) if piece.text == "."))


def say(pieces: tuple[Piece, ...], length: int, choice: int = 0) -> tuple[Piece, ...]:
    """`length` pieces of the text, round and round; only the very first loses its space."""
    start = _STARTS[choice % len(_STARTS)] if pieces is STORY else 0
    said = list(islice(cycle(pieces), start, start + length))
    if said:
        said[0] = Piece(said[0].text.lstrip())
    return tuple(said)


def giant() -> Piece:
    """One piece of at least 1 MiB."""
    rounds = _GIANT_BYTES // len(_STORY) + 1
    return Piece(" ".join([_STORY] * rounds), rounds * len(STORY))


def cut_up(text: str) -> tuple[Piece, ...]:
    """Any text in small pieces, each with the tokens it adds: the sum is `count_text(text)`."""
    pieces, before, so_far = [], 0, ""
    for part in re.findall(r"\w+|\W+", text):
        so_far += part
        count = count_text(so_far)
        pieces.append(Piece(part, count - before))
        before = count
    return tuple(pieces)
