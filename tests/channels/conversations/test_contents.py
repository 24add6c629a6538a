"""What goes out comes back from its row as it was."""

from __future__ import annotations

import msgspec
import pytest

from app.core.bot_config import TemplateChoice
from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    InteractiveContent,
    MediaContent,
    ReactionContent,
    TemplateContent,
    TextContent,
)
from channels.conversations import contents

EVERY: tuple[Content, ...] = (
    TextContent("नमस्ते 🙂 \u2028", preview_url=True),
    TemplateContent("order", "hi", ({"type": "body", "parameters": []},), {"1": "Asha"}),
    MediaContent("audio", kept="med_1", voice=True, otherwise="in words"),
    MediaContent("document", link="https://example.com/a.pdf", caption="a", filename="a.pdf"),
    ChoiceContent("Which?", (("1", "Yes"), ("2", "No")), "Pick"),
    InteractiveContent({"type": "flow", "action": {"n": [1, None, True]}}),
    ReactionContent("wamid.1", "👍"),
)


@pytest.mark.parametrize("content", EVERY, ids=lambda content: type(content).__name__)
def test_it_comes_back_as_it_was(content: Content) -> None:
    kind, body = contents.write(content, reply_to="wamid.0")
    assert contents.read(kind, body) == content
    assert contents.answered(body) == "wamid.0"
    assert contents.answered(contents.write(content)[1]) == ""


def test_a_bots_own_template_is_one() -> None:
    choice = TemplateChoice(name="hello", language="en_US", variables={"1": "Asha"})
    read = contents.read("template", msgspec.json.encode(choice).decode())
    assert read == TemplateContent("hello", "en_US", (), {"1": "Asha"})


@pytest.mark.parametrize(("kind", "body"), [("song", "{}"), ("text", "{"), ("text", "{}"), ("text", '{"body": 1}')])
def test_what_cannot_be_read_is_said(kind: str, body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        contents.read(kind, body)
