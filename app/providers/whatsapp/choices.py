"""A message that offers choices: as buttons or a list where WhatsApp has them, as numbered text where it has not."""

from __future__ import annotations

from typing import Any, Final

import regex  # type: ignore[import-untyped]  # it ships no types

from app.providers.whatsapp.line import ChoiceContent

MOST_BUTTONS: Final = 3
MOST_ROWS: Final = 10
BUTTON_TITLE: Final = 20
ROW_TITLE: Final = 24
BUTTON_BODY: Final = 1024
LIST_BODY: Final = 4096
BUTTON_ID: Final = 256
ROW_ID: Final = 200


def interactive(content: ChoiceContent) -> dict[str, Any] | None:
    """Meta's `interactive` object (wire/whatsapp-meta.md section 9); None when only numbered text can say it.

    Titles are cut at what fits. What Meta would refuse, such as two choices that look alike, becomes numbered text.
    """
    return _buttons(content) or _list(content)


def numbered(content: ChoiceContent) -> str:
    """The body, and one line for each choice."""
    lines = (f"{number}. {title}" for number, (_, title) in enumerate(content.choices, 1))
    return "\n".join((content.body, "", *lines)).strip()


def cut(text: str, limit: int) -> str:
    """At most `limit` code points of it, ending between two graphemes."""
    kept, room = "", limit
    for grapheme in regex.findall(r"\X", " ".join(text.split())):
        room -= len(grapheme)
        if room < 0:
            break
        kept += grapheme
    return kept.rstrip()


def _buttons(content: ChoiceContent) -> dict[str, Any] | None:
    titles = _titles(content, MOST_BUTTONS, BUTTON_TITLE, BUTTON_ID)
    if not titles or not content.body.strip() or len(content.body) > BUTTON_BODY:
        return None
    buttons = [{"type": "reply", "reply": {"id": id, "title": title}} for id, title in titles]
    return {"type": "button", "body": {"text": content.body}, "action": {"buttons": buttons}}


def _list(content: ChoiceContent) -> dict[str, Any] | None:
    titles = _titles(content, MOST_ROWS, ROW_TITLE, ROW_ID)
    label = cut(content.label, BUTTON_TITLE)
    if not titles or not label or not content.body.strip() or len(content.body) > LIST_BODY:
        return None
    rows = [{"id": id, "title": title} for id, title in titles]
    return {"type": "list", "body": {"text": content.body}, "action": {"button": label, "sections": [{"rows": rows}]}}


def _titles(content: ChoiceContent, most: int, longest: int, longest_id: int) -> list[tuple[str, str]]:
    """(id, title) as they can be shown; empty when they cannot."""
    shown = [(id, cut(title, longest)) for id, title in content.choices]
    ids, titles = {id for id, _ in shown}, {title for _, title in shown}
    alike = len(ids) < len(shown) or len(titles) < len(shown)
    fit = len(shown) <= most and all(titles) and all(0 < len(id) <= longest_id for id in ids)
    return shown if fit and not alike else []
