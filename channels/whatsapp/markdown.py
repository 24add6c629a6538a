"""A model's Markdown, read into lines: how they are marked is up to a `Form` (channels.md section 9).

Markdown is read as CommonMark with tables and strikethrough, but for what damages chat: lines that are indented are not
code, `[a]: b` defines nothing, and only tags that HTML has are tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from channels.whatsapp.forms import Form, Line, Mark
from channels.whatsapp.inline import read_inline, take_url

#: Quotes and lists deeper than this are left out; each level takes a few frames of the stack.
DEEPEST: Final = 60
#: Brackets within brackets, each of which may become a link, are tried this deep: a reply of "[" costs time for each.
DEEPEST_LINK: Final = 8
#: A line of these alone separates what stands before and after it.
_SEPARATOR: Final = " \t>-*_"


class _Block(NamedTuple):
    """`apart`: an empty line stands before it."""

    apart: bool
    lines: list[Line]


def read_markdown(text: str, form: Form) -> list[Line]:
    """Never raises, whatever the text is."""
    source = text.replace("\r\n", "\n").replace("\r", "\n")
    return _join(_Reader(source, form).blocks(iter(_BLOCKS.parse(source)), ""))


class _Reader:
    """Takes blocks from an iterator of tokens, which the blocks inside one go on with."""

    def __init__(self, source: str, form: Form) -> None:
        self._lines = source.split("\n")
        self._form = form

    def blocks(self, tokens: Iterator[Token], closing: str) -> list[_Block]:
        """Those before the token of type `closing`."""
        found: list[_Block] = []
        for token in tokens:
            if token.type == closing:
                break
            lines = self._block(token, tokens)
            if lines:
                found.append(_Block(self._stands_apart(token), lines))
        return found

    def _block(self, token: Token, tokens: Iterator[Token]) -> list[Line]:
        form = self._form
        lines: list[Line] = []
        match token.type:
            case "paragraph_open":
                lines = _lines(self._inline(next(tokens)))
            case "heading_open":
                lines = self._heading(next(tokens))
            case "fence":
                lines = form.fenced(token.content.removesuffix("\n"), token.markup)
            case "blockquote_open":
                lines = form.quoted(_join(self.blocks(tokens, "blockquote_close")))
            case "bullet_list_open" | "ordered_list_open":
                lines = _join(self.blocks(tokens, token.type.replace("open", "close")))
            case "list_item_open":
                number = token.info + token.markup if token.info else ""
                lines = form.item(number, _join(self.blocks(tokens, "list_item_close")))
            case "table_open":
                lines = self._table(tokens)
        return lines

    def _heading(self, content: Token) -> list[Line]:
        """Only a line can be a heading: a rule right under a paragraph makes none of it."""
        if "\n" in content.content:
            return _lines(self._inline(content))
        return _lines(self._form.heading(self._inline(content, frozenset({"strong"}))))

    def _table(self, tokens: Iterator[Token]) -> list[Line]:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(self._inline(token).replace("\n", " ").strip())
        heads, *body = rows
        if not body:
            return _lines(self._form.row([("", head) for head in heads]))
        said = (self._form.row(list(zip(heads, cells, strict=False))) for cells in body)
        return [Line(line) for line in said if line]

    def _inline(self, token: Token, open_marks: frozenset[Mark] = frozenset()) -> str:
        return read_inline(token.content, _INLINE, self._form, open_marks)

    def _stands_apart(self, token: Token) -> bool:
        first = token.map[0] if token.map else 0
        return first == 0 or not self._lines[first - 1].strip(_SEPARATOR)


def _lines(text: str) -> list[Line]:
    """Without empty ones at either end, and never two of them in a row."""
    lines: list[Line] = []
    for line in text.strip().split("\n"):
        stripped = line.strip()
        if stripped or (lines and lines[-1].text):
            lines.append(Line(stripped))
    return lines if text.strip() else []


def _join(blocks: list[_Block]) -> list[Line]:
    lines: list[Line] = []
    for block in blocks:
        if lines and block.apart:
            lines.append(Line(""))
        lines += block.lines
    return lines


class _Parser(MarkdownIt):
    """Addresses stay as they were written."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802  # as the package calls it
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return True


def _parser(deepest: int) -> MarkdownIt:
    parser = _Parser("commonmark", {"html": True, "maxNesting": deepest})
    parser.enable(["table", "strikethrough"]).disable(["code", "reference", "html_block"])
    # What stands within a block is read when it is needed, and most lines need no reading (`read_inline`).
    parser.core.ruler.disable(["inline", "text_join"])
    parser.inline.ruler.before("escape", "url", take_url)
    return parser


_BLOCKS: Final = _parser(DEEPEST)
_INLINE: Final = _parser(DEEPEST_LINK)
