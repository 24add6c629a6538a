"""What a voice says of a reply: words, and nothing that cannot be heard."""

from __future__ import annotations

import pytest
import regex  # type: ignore[import-untyped]  # it ships no types
from hypothesis import given
from hypothesis import strategies as st

from channels.whatsapp.speech_form import to_speech


@pytest.mark.parametrize(
    ("markdown", "spoken"),
    [
        ("**Hello** _you_, ~~not~~ `this`", "Hello you, not this"),
        ("# Title\nText", "Title.\nText"),
        ("- tea\n- coffee!\n\n1. one\n2. two", "tea.\ncoffee!\n1. one.\n2. two."),
        ("| Item | Price |\n|--|--|\n| Tea | ₹20 |", "Item: Tea, Price: ₹20."),
        ("See https://x.example/a_b?c=1, or www.x.example.", "See link, or link"),
        ("Our [menu](https://x.example) and ![a cup](https://x.example/c.png)", "Our menu and a cup"),
        ("[https://x.example](https://x.example)", "link"),
        ("> quoted", "quoted"),
        ("<b>bold</b> text", "bold text"),
        ("a *b **c", "a b c"),
        ("5 * 3 and 5*3", "5 * 3 and 5*3"),
        ("", ""),
        ("👍", ""),
        ("---\n\n😀\n\nyes", "yes"),
    ],
)
def test_a_reply_is_said_in_words(markdown: str, spoken: str) -> None:
    assert to_speech(markdown) == spoken


@pytest.mark.parametrize("emoji", ["😀", "👨‍👩‍👧‍👦", "👍🏽", "🇮🇳", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "❤️‍🔥", "☎️", "🇮", "🏽", "🧑🏽‍🚀"])
def test_an_emoji_is_gone_whole(emoji: str) -> None:
    assert to_speech(f"one {emoji} two{emoji}.") == "one two."


def test_a_keycap_is_its_digit() -> None:
    assert to_speech("press 1️⃣") == "press 1"


def test_joiners_of_a_script_stay() -> None:
    assert to_speech("क्‍ष and ശ്രീ") == "क्‍ष and ശ്രീ"


@given(
    markdown=st.text()
    | st.lists(st.sampled_from(["👍🏽", "**", "- ", "\n", "`", "a", "https://x.example", "_"])).map("".join)
)
def test_nothing_said_is_markup_or_emoji(markdown: str) -> None:
    spoken = to_speech(markdown)
    assert not regex.search(r"\p{Emoji_Presentation}|`|\*\*(?![0-9])|https?://|^- ", spoken)
