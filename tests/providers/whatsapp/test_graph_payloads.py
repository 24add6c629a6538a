"""Letters as the Graph API takes them: the bodies of the wire document, one for each kind of content."""

from __future__ import annotations

from typing import Any

import pytest

from app.providers.whatsapp.graph_payloads import message, read_and_typing
from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    InteractiveContent,
    Letter,
    MediaContent,
    ReactionContent,
    Recipient,
    Refused,
    TemplateContent,
    TextContent,
)

HEAD = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+16505551234"}
BUTTONS = [
    {"type": "reply", "reply": {"id": "y", "title": "Yes"}},
    {"type": "reply", "reply": {"id": "n", "title": "No"}},
]


def body(content: Content, **fields: Any) -> dict[str, Any]:
    return message(Letter(**{"to": Recipient("+16505551234"), "content": content, "reference": "row-1", **fields}))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (TextContent("Hello"), {"type": "text", "text": {"body": "Hello", "preview_url": False}}),
        (
            TextContent("https://a.example", True),
            {"type": "text", "text": {"body": "https://a.example", "preview_url": True}},
        ),
        (MediaContent("image", "M1", caption="Taj"), {"type": "image", "image": {"id": "M1", "caption": "Taj"}}),
        (
            MediaContent("document", link="https://a.example/a.pdf", filename="a.pdf", caption="The bill"),
            {
                "type": "document",
                "document": {"link": "https://a.example/a.pdf", "filename": "a.pdf", "caption": "The bill"},
            },
        ),
        (MediaContent("audio", "M2", voice=True), {"type": "audio", "audio": {"id": "M2", "voice": True}}),
        (MediaContent("audio", "M2"), {"type": "audio", "audio": {"id": "M2"}}),
        (MediaContent("video", "M3", filename="a.mp4"), {"type": "video", "video": {"id": "M3"}}),
        (MediaContent("sticker", "M4"), {"type": "sticker", "sticker": {"id": "M4"}}),
        (MediaContent("image", "M1", "https://a.example/1.png"), {"type": "image", "image": {"id": "M1"}}),
        (ReactionContent("wamid.A", "😀"), {"type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": "😀"}}),
        (
            InteractiveContent({"type": "cta_url", "body": {"text": "Look"}}),
            {"type": "interactive", "interactive": {"type": "cta_url", "body": {"text": "Look"}}},
        ),
        (
            ChoiceContent("Well?", (("y", "Yes"), ("n", "No"))),
            {
                "type": "interactive",
                "interactive": {"type": "button", "body": {"text": "Well?"}, "action": {"buttons": BUTTONS}},
            },
        ),
        (
            TemplateContent("order_update", "en_US", ({"type": "body", "parameters": []},)),
            {
                "type": "template",
                "template": {
                    "name": "order_update",
                    "language": {"code": "en_US"},
                    "components": [{"type": "body", "parameters": []}],
                },
            },
        ),
        (
            TemplateContent("hello", variables={"1": "unused"}),
            {"type": "template", "template": {"name": "hello", "language": {"code": "en"}}},
        ),
    ],
)
def test_each_content_is_written_as_the_document_says(content: Content, wanted: dict[str, Any]) -> None:
    assert body(content) == HEAD | {"biz_opaque_callback_data": "row-1"} | wanted


def test_a_reply_names_what_it_answers_and_a_reaction_does_not() -> None:
    assert body(TextContent("x"), reply_to="wamid.B")["context"] == {"message_id": "wamid.B"}
    assert "context" not in body(ReactionContent("wamid.A", ""), reply_to="wamid.B")


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        (Recipient("+16505551234", "US.1349"), {"to": "+16505551234"}),
        (Recipient("16505551234"), {"to": "+16505551234"}),
        (Recipient(user_id="US.1349"), {"recipient": "US.1349"}),
    ],
)
def test_the_phone_goes_with_a_plus_and_the_bsuid_goes_alone(to: Recipient, wanted: dict[str, str]) -> None:
    sent = body(TextContent("x"), to=to)
    assert {name: sent[name] for name in ("to", "recipient") if name in sent} == wanted


@pytest.mark.parametrize(
    ("letter", "kind", "code"),
    [
        (Letter(Recipient(), TextContent("x"), "r"), "recipient", "no_recipient"),
        (Letter(Recipient("+1"), MediaContent("image"), "r"), "content", "no_media"),
        (Letter(Recipient("+1"), MediaContent("audio", "M", caption="hear"), "r"), "content", "caption"),
        (Letter(Recipient("+1"), MediaContent("sticker", "M", caption="look"), "r"), "content", "caption"),
    ],
)
def test_what_nobody_could_get_is_refused_by_us(letter: Letter, kind: str, code: str) -> None:
    with pytest.raises(Refused) as raised:
        message(letter)
    assert (raised.value.kind, raised.value.code) == (kind, code)


def test_read_and_typing_are_one_request() -> None:
    assert read_and_typing("wamid.A") == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": "wamid.A",
        "typing_indicator": {"type": "text"},
    }
