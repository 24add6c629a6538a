"""A terminal, or a pipe: lines come in while others are printed, and what is half typed stays whole.

Lines are read in a thread that is left behind at the end: nothing can wake a thread that waits for a keyboard. It holds
no lock that the interpreter needs for its own end, and the terminal is put back as it was found.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import trio

try:
    from readline import get_line_buffer
except ImportError:  # an interpreter without it edits no lines

    def get_line_buffer() -> str:
        return ""


DIM: Final = "\x1b[2m{}\x1b[0m"
#: Back to the begin of the line, which is wiped.
WIPE: Final = "\r\x1b[K"


class Terminal:
    """Make it by `open_terminal`. `prompt` is shown while a line is awaited on a terminal."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._unread = b""
        self._is_over = False
        self._is_asking = False
        self.is_keyboard = os.isatty(0) and os.isatty(1)
        self._has_colour = os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    async def line(self) -> str | None:
        """The next line, None at the end. Cancelled: a line that is typed later is lost."""
        return await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)

    def put(self, lines: Sequence[str], *, is_beside: bool = False) -> None:
        """Print above what is being typed; `is_beside` looks less important."""
        shown = [DIM.format(line) if is_beside and self._has_colour else line for line in lines]
        text = "".join(f"{line}\n" for line in shown)
        if self._is_asking:
            text = f"{WIPE}{text}{self._prompt}{get_line_buffer()}"
        sys.stdout.write(text)
        sys.stdout.flush()

    def _read(self) -> str | None:
        return self._ask() if self.is_keyboard else self._next_piped()

    def _ask(self) -> str | None:
        self._is_asking = True
        try:
            return _mended(input(self._prompt))
        except EOFError:
            return None
        finally:
            self._is_asking = False

    def _next_piped(self) -> str | None:
        """By `os.read`: a thread inside of `sys.stdin` would hold its lock at the interpreter's end."""
        while b"\n" not in self._unread and not self._is_over:
            piece = os.read(0, 65536)
            self._unread += piece
            self._is_over = not piece
        if not self._unread:
            return None
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")


def _mended(line: str) -> str:
    """Without halves of characters, which no message can hold."""
    return line.encode(errors="surrogateescape").decode(errors="replace")


@contextmanager
def open_terminal(prompt: str) -> Iterator[Terminal]:
    """A terminal that is put back at the end as it was found."""
    before: list[Any] | None = termios.tcgetattr(0) if os.isatty(0) else None
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    terminal = Terminal(prompt)
    try:
        yield terminal
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        if terminal.is_keyboard:
            print(flush=True)  # the shell's prompt begins on a line of its own
