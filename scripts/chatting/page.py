"""What a chat looks like: who said what, ticks and notes beside it, dimmed, or left out of a transcript."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Final

from scripts.chatting.finding import Partner
from scripts.chatting.orders import Letter
from scripts.chatting.showing import Shown
from scripts.chatting.terminal import Terminal
from scripts.chatting.waiting import FLAGS, SILENT, Look

YOU: Final = "You"


class Page:
    """`is_bare`: nothing but what was said."""

    def __init__(self, terminal: Terminal, bot: str, *, is_bare: bool) -> None:
        self._terminal = terminal
        self._bot = bot
        self._is_bare = is_bare
        self._width = max(len(YOU), len(bot))
        self._was_silent = False

    def head(self, partner: Partner, url: str, phone: str) -> None:
        """Who talks with whom, for somebody who has just come."""
        kind = "answers voice notes aloud" if partner.kind == "whatsapp_voice" else "a WhatsApp bot"
        self.beside(f"{partner.name}, {kind}, at {partner.phone} of {url}. You are {phone}.")
        if self._terminal.is_keyboard:
            self.beside("/help shows what else can be typed; Ctrl-C leaves.")

    def show(self, shown: Shown) -> None:
        """What the phone has received."""
        if shown.said:
            self._terminal.put(self._speech(self._bot, shown.said))
        if shown.beside:
            self.beside(*(f"{' ' * (self._width + 2)}{line}" for line in shown.beside))

    def spoken(self, letter: Letter) -> None:
        """What the user says; on a keyboard it stands there already, but for what it means."""
        if not self._terminal.is_keyboard or letter.shown != letter.saying.get("text"):
            self._terminal.put(self._speech(YOU, letter.shown.split("\n")))

    def _speech(self, name: str, lines: Sequence[str]) -> list[str]:
        """Folded for a person only: another program wants the lines as they are."""
        columns = shutil.get_terminal_size().columns if self._terminal.is_keyboard else None
        return speech(name, lines, self._width, columns)

    def beside(self, *lines: str) -> None:
        """What is no part of the talk."""
        if not self._is_bare:
            self._terminal.put(lines, is_beside=True)

    def note(self, look: Look | None) -> None:
        """Why there was no answer, and that the bot is silent from now on."""
        if look is None:
            return
        for text in look.heard.values():
            self.beside(f"(heard: {text})")
        for reason in dict.fromkeys(look.reasons.values()):
            self.beside(f"(not answered: {reason})")
        if look.is_silent and not self._was_silent:
            self.beside(f"({SILENT.format(bot=self._bot)}{FLAGS.get(look.flag, '')})")
        self._was_silent = look.is_silent

    def resumed(self, *, is_known: bool) -> None:
        self._was_silent = False
        self.beside(f"({self._bot} answers again)" if is_known else "(nothing was said yet)")


def speech(name: str, lines: Sequence[str], width: int, columns: int | None = None) -> list[str]:
    """What `name` said, below one another; `width` is that of the longest name, `columns` the terminal's."""
    label = f"{name}:".ljust(width + 1)
    if columns is not None:
        room = max(20, columns - len(label) - 1)
        lines = [piece for line in lines for piece in folded(line, room)]
    return [f"{label if at == 0 else ' ' * len(label)} {line}".rstrip() for at, line in enumerate(lines or [""])]


def folded(line: str, room: int) -> list[str]:
    """The line cut at blanks; what has none, such as an address or a path, stays whole."""
    if len(line) <= room:
        return [line]
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
