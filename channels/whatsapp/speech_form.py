"""Markdown as it is read aloud: no marks, no emoji, "link" for an address, lists as sentences (channels.md 9.5)."""

from __future__ import annotations

import re
from typing import Final

import regex  # type: ignore[import-untyped]  # it ships no types

from channels.whatsapp.forms import Form, Line, Mark
from channels.whatsapp.markdown import read_markdown

SPOKEN_URL: Final = "link"

_PICTURE: Final = r"(?![©®™‼⁉])\p{Extended_Pictographic}[\uFE0E\uFE0F\u20E3\p{EMod}\U000E0020-\U000E007F]*"
#: Whole emoji: families joined by U+200D (which Indian scripts need elsewhere), flags, skin tones, lone remains.
_EMOJI: Final = regex.compile(rf"{_PICTURE}(?:\u200D{_PICTURE})*\u200D?|\p{{RI}}|\p{{EMod}}|[\U000E0020-\U000E007F]")
_KEYCAP: Final = regex.compile(r"[\uFE0E\uFE0F]|(?<=[0-9#*]\uFE0F?)\u20E3")
#: What is left of marks: a star between numbers is said, as is a line within a name.
_MARKS: Final = re.compile(r"(?<![0-9*])(?<![0-9] )\*+|\*+(?! ?[0-9*])|`+|~~+|(?<!\w)_+|_+(?!\w)")
#: Of a list, heading or quote that Markdown does not know as one.
_LEADING: Final = re.compile(r"(?:[-+•#>]+ )+")
_LINK: Final = re.compile(r"(?:https?://|www\.)\S*", re.IGNORECASE)
_SPACES: Final = re.compile(r"[^\S\n]+")
_LOOSE: Final = re.compile(r" (?=[.,;:!?।॥。](?:\s|$))")
_ENDS: Final = tuple(".?!।॥。…:;,\uff0c\uff1b\uff1a\uff01\uff1f")


def to_speech(markdown: str) -> str:
    """What a voice says of it, one line for each that was there; "" when nothing of it can be said."""
    text = "\n".join(line.text for line in read_markdown(markdown, _FORM))
    text = _MARKS.sub("", _LINK.sub(SPOKEN_URL, _KEYCAP.sub("", _EMOJI.sub("", text))))
    lines = (_line(line) for line in text.split("\n"))
    return "\n".join(line for line in lines if any(character.isalnum() for character in line))


def _line(text: str) -> str:
    plain = _LOOSE.sub("", _SPACES.sub(" ", text)).strip()
    found = _LEADING.match(plain)
    return plain[found.end() :] if found else plain


class _Speech:
    def text(self, text: str) -> str:
        return text

    def url(self, url: str) -> str:
        return SPOKEN_URL

    def link(self, label: str, url: str) -> str:
        return label.strip() or SPOKEN_URL

    def image(self, alt: str, url: str) -> str:
        return alt

    def code(self, content: str, fence: str) -> str:
        return content

    def marked(self, mark: Mark, text: str) -> str:
        return text

    def heading(self, text: str) -> str:
        return _sentence(text)

    def fenced(self, content: str, fence: str) -> list[Line]:
        return [Line(line) for line in content.split("\n")]

    def quoted(self, lines: list[Line]) -> list[Line]:
        return lines

    def item(self, number: str, lines: list[Line]) -> list[Line]:
        if not lines:
            return []
        first = f"{number.rstrip(').')}. {lines[0].text}" if number else lines[0].text
        return [Line(_sentence(first)), *lines[1:]]

    def row(self, cells: list[tuple[str, str]]) -> str:
        said = ", ".join(f"{head}: {cell}" if head else cell for head, cell in cells if cell)
        return _sentence(said)


def _sentence(text: str) -> str:
    return text if not text or text.endswith(_ENDS) else text + "."


_FORM: Final[Form] = _Speech()
