"""What ends a turn: a text or choices to tap, spoken or in parts, with an apology in front if it is late. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.bot_config import BotConfig
from app.providers.whatsapp.line import ChoiceContent, Content, TextContent
from channels.answering.asking import Answer
from channels.answering.closing import Begun
from channels.answering.tools import BUTTONS, HANDOFF, Choices, read_choices
from channels.answering.voicing import may_speak
from channels.conversations.posting import Saying
from channels.whatsapp.text_form import reply_parts


@dataclass(frozen=True, slots=True)
class LastWords:
    """A text, perhaps with choices; `hands_over`: people are called with it."""

    text: str
    choices: Choices | None = None
    hands_over: bool = False


def last_words(answer: Answer, config: BotConfig) -> LastWords | None:
    """None when functions are to be run first."""
    for call in answer.calls:
        if call.name == HANDOFF and config.handoff_tool:
            return LastWords(answer.text.strip() or config.handoff_message, hands_over=True)
        if call.name == BUTTONS and config.reply_buttons and (choices := read_choices(call)) is not None:
            return LastWords(choices.text, choices)
    return None if answer.calls else LastWords(answer.text)


def are_readable(begun: Begun, words: LastWords) -> bool:
    """A rule or a tag alone is nothing that a user could read."""
    return bool(_parts(begun, words.text))


def saying(begun: Begun, answer: Answer, words: LastWords, *, aloud: bool) -> Saying:
    """As it is written down to go out; `aloud`: to be spoken, if it can be."""
    late = begun.situation.config.late_message.strip() if begun.late else ""
    text = f"{late}\n\n{words.text}" if late else words.text
    spoken = words.choices is None and not words.hands_over and aloud and may_speak(text)
    parts: list[Content]
    if spoken:
        parts = [TextContent(text)]
    elif words.choices is not None:
        ids = [(f"choice:{number}", title) for number, title in enumerate(words.choices.choices, 1)]
        parts = [ChoiceContent(text, tuple(ids))]
    else:
        parts = [TextContent(part) for part in _parts(begun, text)]
    return Saying(
        text=text,
        parts=parts,
        turn_id=begun.turn_id,
        origin="notice" if words.hands_over else "reply",
        message_type="voice" if spoken else "text",
        tokens=answer.tokens,
        state="making" if spoken else "queued",
    )


def _parts(begun: Begun, text: str) -> list[str]:
    return reply_parts(text, "meta" if begun.situation.number.provider == "meta" else "twilio")
