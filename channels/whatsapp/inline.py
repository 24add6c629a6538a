"""What stands within a line or paragraph of Markdown: emphasis, links, code, addresses, tags."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from channels.whatsapp.forms import Form, Mark
from channels.whatsapp.urls import match_url

#: Without one of these there is nothing to read.
_SPECIAL: Final = re.compile(r"[*_`~\[<&\\]|://")
_TAG: Final = re.compile(r"</?([a-z][a-z0-9]*)", re.IGNORECASE)
#: `<name>` in a text is no tag but a gap to be filled in.
_TAGS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        a abbr address article aside audio b bdi bdo big blockquote body br button caption center cite code col colgroup
        dd del details dfn div dl dt em embed fieldset figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header
        hr html i iframe img input ins kbd label legend li link main mark meta nav object ol optgroup option p param
        picture pre q rp rt ruby s samp script section select small source span strike strong style sub summary sup svg
        table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr
        """,
    )
)
_BREAKS: Final = frozenset({"br", "hr"})
_MARKS: Final[dict[str, Mark]] = {
    "strong_open": "strong",
    "strong_close": "strong",
    "em_open": "em",
    "em_close": "em",
    "s_open": "s",
    "s_close": "s",
}


class _Opened(NamedTuple):
    """A mark or link that has begun, and what had been written before it."""

    token: Token
    before: list[str]
    touched: bool


def read_inline(content: str, parser: MarkdownIt, form: Form, marked: frozenset[Mark] = frozenset()) -> str:
    """The text in its form, with the line breaks that it has. What is in `marked` already is not marked again."""
    if _SPECIAL.search(content) is None:
        return form.text("\n".join(line.strip() for line in content.split("\n")))
    tokens: list[Token] = []
    return _write(parser.inline.parse(content, parser, {}, tokens), form, marked)


def take_url(state: StateInline, silent: bool) -> bool:
    """A rule of the parser: a bare address is one token, so that nothing in it is read as emphasis."""
    at = state.pos
    if not state.src.startswith("://", at):
        return False
    scheme = next((word for word in ("https", "http") if state.src[max(0, at - len(word)) : at].lower() == word), "")
    start = at - len(scheme)
    if not scheme or (start > 0 and state.src[start - 1].isalnum() and state.src[start - 1].isascii()):
        return False
    url = match_url(state.src, start)
    if len(url) <= len(scheme) + 3 or start + len(url) > state.posMax:
        return False
    if not silent:
        if not state.pending.endswith(state.src[start:at]):
            return False
        state.pending = state.pending[: -len(scheme)]
        state.push("url", "", 0).content = url
    state.pos = start + len(url)
    return True


def _write(tokens: list[Token], form: Form, marked: frozenset[Mark]) -> str:
    opened: list[_Opened] = []
    written: list[str] = []
    for index, token in enumerate(tokens):
        if token.nesting > 0:
            opened.append(_Opened(token, written, _ends_in_word(written)))
            written = []
        elif token.nesting < 0 and opened:
            inner = "".join(written)
            start = opened.pop()
            written = start.before
            if token.type == "link_close":
                written.append(_link(start.token, inner, form))
            else:
                around = marked | {_MARKS[outer.token.type] for outer in opened if outer.token.type in _MARKS}
                touches = start.touched + _begins_with_word(tokens[index + 1 : index + 2])
                written.append(_marked(start.token, inner, form, around, touches))
        else:
            written.append(_leaf(token, form))
    return "".join(written)


def _leaf(token: Token, form: Form) -> str:
    match token.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "url":
            return form.url(token.content)
        case "code_inline":
            return form.code(token.content, token.markup)
        case "image":
            return form.image(_write(token.children or [], form, frozenset()), str(token.attrGet("src") or ""))
        case "html_inline":
            return _tag(token.content, form)
    return form.text(token.content)


def _link(token: Token, label: str, form: Form) -> str:
    url = str(token.attrGet("href") or "")
    return form.link(label, url)


def _marked(token: Token, inner: str, form: Form, around: frozenset[Mark], touches: int) -> str:
    """In `5*3*2`, `x**2 + y**2` and `a*b` the stars are no marks: what touches a word stays as it was written.

    WhatsApp marks no part of a word anyway. Letters beyond ASCII are no words here: many scripts write without spaces.
    """
    mark = _MARKS[token.type]
    if touches == 2 or (touches and mark == "em"):
        return token.markup + inner + token.markup
    return inner if mark in around or not inner.strip() else form.marked(mark, inner)


def _ends_in_word(written: list[str]) -> bool:
    return bool(written) and _is_word(written[-1][-1:])


def _begins_with_word(following: list[Token]) -> bool:
    return bool(following) and following[0].type == "text" and _is_word(following[0].content[:1])


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _tag(source: str, form: Form) -> str:
    found = _TAG.match(source)
    name = found.group(1).lower() if found else ""
    if name in _BREAKS:
        return "\n"
    return "" if name in _TAGS or source[1] in "!?" else form.text(source)
