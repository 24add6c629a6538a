"""What stored messages say to a model, and which of them can be answered (channels.md section 11)."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from app.core.bot_config import BotConfig
from app.core.chat import read_chat
from app.providers.whatsapp.line import File
from app.storage.conversations import StoredMessage
from channels.answering.prompt import Past
from channels.answering.understanding import Answerable, answerable, describe, past_of, user_parts

PICTURE = File(b"\x89PNG", "image/png; charset=binary")


def message(
    kind: str = "text", content: str = "", role: str = "user", status: str = "", **details: Any
) -> StoredMessage:
    return StoredMessage(
        *("m1", "c1", role, content, kind, 0, 0),
        status=status,
        author="contact",
        details=msgspec.json.encode(details).decode(),
    )


@pytest.mark.parametrize("bot_type", ["whatsapp", "whatsapp_voice"])
@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (message("text", "hi"), "text"),
        (message("text", " "), "unsupported"),
        (message("button", "Yes", choice_id="y"), "text"),
        (message("list", "Express"), "text"),
        (message("flow", '{"a":1}'), "text"),
        (message("location", "Location: Philz"), "text"),
        (message("contacts", "Contact: Lucía"), "text"),
        (message("order", "Order: 2 × di9"), "text"),
        (message("image"), "unsupported"),
        (message("image", "what is this?"), "text"),
        (message("document", media={"name": "a.pdf"}), "unsupported"),
        (message("document", "read this", media={"name": "a.pdf"}), "text"),
        (message("video", "look"), "text"),
        (message("video"), "unsupported"),
        (message("sticker"), "ignore"),
        (message("reaction"), "ignore"),
        (message("unsupported"), "unsupported"),
        (message("poll", "which?"), "text"),
        (message("poll"), "unsupported"),
        (message("welcome"), "ignore"),
        (message("call"), "ignore"),
        (message("text", "hi", standby=True), "ignore"),
        (message("text", "hi", revoked=True), "ignore"),
        (message("voice", "already heard", transcript=True), "text"),
    ],
)
def test_a_message_is_answered_by_its_kind(stored: StoredMessage, kind: Answerable, bot_type: str) -> None:
    assert answerable(stored, bot_type, BotConfig(), can_see=False) == kind


@pytest.mark.parametrize("stored", [message("image"), message("image", "what is this?")])
def test_an_image_is_seen_by_a_model_that_sees(stored: StoredMessage) -> None:
    assert answerable(stored, "whatsapp", BotConfig(), can_see=True) == "image"


@pytest.mark.parametrize("kind", ["voice", "audio"])
def test_a_recording_needs_a_voice_bot_or_a_model_that_hears(kind: str) -> None:
    stored = message(kind)
    assert answerable(stored, "whatsapp", BotConfig(), can_see=True) == "unsupported"
    assert answerable(stored, "whatsapp", BotConfig(stt_model="saarika"), can_see=False) == "voice"
    assert answerable(stored, "whatsapp_voice", BotConfig(), can_see=False) == "voice"


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (message("text", " hi "), "hi"),
        (message("image"), "[image]"),
        (message("image", "my cup"), "[image]\nmy cup"),
        (message("document", "read", media={"id": "1", "name": "a\nb.pdf"}), "[document: a b.pdf]\nread"),
        (message("document"), "[document]"),
        (message("video", "look"), "[video]\nlook"),
        (message("voice"), "[voice note]"),
        (message("voice", "what I said", transcript=True), "what I said"),
        (message("sticker"), "[sticker]"),
        (message("unsupported"), "[message of a kind that cannot be shown]"),
        (message("reaction", "👍"), ""),
        (message("text", "secret", revoked=True), ""),
        (message("text", "hi", media="of another shape"), "hi"),
    ],
)
def test_a_message_is_described_in_words(stored: StoredMessage, words: str) -> None:
    assert describe(stored) == words


def test_a_text_is_one_part() -> None:
    assert user_parts(message("text", "hi")) == [{"type": "text", "text": "hi"}]


def test_an_image_is_its_caption_and_its_bytes() -> None:
    parts = user_parts(message("image", "what is this?"), picture=PICTURE)
    url = f"data:image/png;base64,{base64.b64encode(PICTURE.data).decode()}"
    assert parts == [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert read_chat({"messages": [{"role": "user", "content": parts}]}).has_images


def test_an_image_without_caption_is_its_bytes_alone() -> None:
    assert [part["type"] for part in user_parts(message("image"), picture=PICTURE)] == ["image_url"]


def test_an_image_that_could_not_be_had_is_named() -> None:
    assert user_parts(message("image", "my cup")) == [{"type": "text", "text": "[image]\nmy cup"}]


def test_what_a_message_answers_is_quoted_on_one_line() -> None:
    answered = message("text", 'Tea "or"\ncoffee]? ' + "xxx " * 200, role="assistant")
    (part,) = user_parts(message("text", "coffee"), answered=answered)
    note, text = part["text"].split("\n")
    assert note.startswith("[in reply to our message \"Tea 'or' coffee]? xxx")
    assert note.endswith('…"]')
    assert len(note) < 260
    assert text == "coffee"


def test_a_reply_to_their_own_message_says_so() -> None:
    (part,) = user_parts(message("text", "this one"), answered=message("image"))
    assert part["text"] == '[in reply to their own message "[image]"]\nthis one'


def test_an_ad_stands_before_the_message_that_it_led_to() -> None:
    (part,) = user_parts(message("text", "hi", referral="Summer sale\n20% off"))
    assert part["text"] == '[came from the ad "Summer sale 20% off"]\nhi'


def test_a_deleted_message_has_no_part() -> None:
    assert user_parts(message("text", "secret", revoked=True)) == []


@pytest.mark.parametrize(
    ("stored", "past"),
    [
        (message("text", "hi"), Past("user", "hi")),
        (message("text", "hello", role="assistant", status="read"), Past("assistant", "hello")),
        (message("text", "from a person", role="assistant"), Past("assistant", "from a person")),
        (message("text", "never left", role="assistant", status="dropped"), None),
        (message("text", "did not arrive", role="assistant", status="failed"), None),
        (message("text", "gone", revoked=True), None),
        (message("text", ""), None),
    ],
)
def test_history_is_what_was_read(stored: StoredMessage, past: Past | None) -> None:
    assert past_of(stored) == past
