"""Markdown as WhatsApp marks it: `*bold*`, `_italic_`, `~struck~`, code (channels.md section 9.3)."""

from __future__ import annotations

from typing import Final

from channels.whatsapp.forms import Form, Line, Mark
from channels.whatsapp.markdown import read_markdown

_SIGNS: Final[dict[Mark, str]] = {"strong": "*", "em": "_", "s": "~"}
_CELLS: Final = " · "


def to_whatsapp(markdown: str) -> str:
    """The text as it is sent: never raises; code and addresses are as they were, white space around it is gone."""
    return "\n".join(line.text for line in read_markdown(markdown, _FORM)).strip()


class _WhatsApp:
    def text(self, text: str) -> str:
        return text

    def url(self, url: str) -> str:
        return url

    def link(self, label: str, url: str) -> str:
        shown = label.strip()
        if not url or url in (f"mailto:{shown}", f"tel:{shown}"):
            return shown
        if not shown or shown in (url, url.partition("://")[2].rstrip("/")):
            return url
        return f"{shown} ({url})"

    def image(self, alt: str, url: str) -> str:
        return f"{alt}: {url}" if alt and url else alt or url

    def code(self, content: str, fence: str) -> str:
        room = " " if content.startswith("`") or content.endswith("`") else ""
        return fence + room + content + room + fence

    def marked(self, mark: Mark, text: str) -> str:
        """Line by line: a mark does not reach over the end of one."""
        return "\n".join(_sign(_SIGNS[mark], line) for line in text.split("\n"))

    def heading(self, text: str) -> str:
        return self.marked("strong", text)

    def fenced(self, content: str, fence: str) -> list[Line]:
        ticks = fence if fence.startswith("`") else "```"
        return [Line(line, code=True) for line in (ticks, *content.split("\n"), ticks)]

    def quoted(self, lines: list[Line]) -> list[Line]:
        return [line if line.code else Line(f"> {line.text}".rstrip()) for line in lines]

    def item(self, number: str, lines: list[Line]) -> list[Line]:
        sign = f"{number or '-'} "
        first = [] if lines and not lines[0].code else [Line(sign.rstrip())]
        indent = " " * len(sign)
        return first + [
            line if line.code or not line.text else Line((indent if first or at else sign) + line.text)
            for at, line in enumerate(lines)
        ]

    def row(self, cells: list[tuple[str, str]]) -> str:
        return _CELLS.join(f"{head}: {cell}" if head else cell for head, cell in cells if cell)


def _sign(sign: str, line: str) -> str:
    inner = line.strip()
    return line.replace(inner, sign + inner + sign) if inner else line


_FORM: Final[Form] = _WhatsApp()
