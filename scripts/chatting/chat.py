"""The course of a chat: typed line by line until the user leaves, or by a script that waits for each answer."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from app.commands import Mendable
from scripts.chatting.orders import HELP, Letter, Mistyped, Word, read_line
from scripts.chatting.page import Page
from scripts.chatting.talk import Talk
from scripts.chatting.terminal import Terminal


class NotAnswered(Mendable):
    """A message of a script got no answer; the text says why, as far as that is known."""


class Chat:
    """`wait_s`: how long an answer is waited for when nobody looks on."""

    def __init__(self, terminal: Terminal, page: Page, talk: Talk, *, wait_s: float) -> None:
        self._terminal = terminal
        self._page = page
        self._talk = talk
        self._wait_s = wait_s

    async def run(self) -> None:
        """Until the user leaves. What was piped in is answered first, as far as it is in time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            while (line := await self._terminal.line()) is not None and await self._follow(line):
                pass
            nursery.cancel_scope.cancel()
        if self._talk.is_waiting() and not self._terminal.is_keyboard:
            with trio.move_on_after(self._wait_s):
                self._page.note(await self._talk.settle())

    async def run_script(self, messages: Sequence[str]) -> None:
        """Send each, wait for its answer. Raises NotAnswered, Mistyped."""
        for message in messages:
            before = self._talk.received
            if not await self._obey(self._read(message)):
                return
            if not self._talk.is_waiting():
                continue
            look = None
            with trio.move_on_after(self._wait_s):
                look = await self._talk.settle()
            reasons = [] if look is None else list(dict.fromkeys(look.reasons.values()))
            if self._talk.received == before:
                reasons = reasons or [f"nothing came back within {self._wait_s:g} s" if look is None else "no reason"]
            if reasons:
                raise NotAnswered(f"No answer to {message[:60]!r}: {', '.join(reasons)}.")
            self._page.note(look)

    async def _watch(self) -> None:
        """Say why something is not answered, as soon as that is known."""
        while True:
            self._page.note(await self._talk.settle())

    async def _follow(self, line: str) -> bool:
        try:
            return await self._obey(self._read(line))
        except Mistyped as mistake:
            self._page.beside(f"({mistake})")
            return True

    def _read(self, line: str) -> Letter | Word:
        """Raises Mistyped."""
        return read_line(line, self._talk.screen.offer)

    async def _obey(self, order: Letter | Word) -> bool:
        """False when the user leaves."""
        match order:
            case "quit":
                return False
            case "help":
                self._page.beside(*HELP.rstrip().split("\n"))
            case "resume":
                self._page.resumed(is_known=await self._talk.resume())
            case Letter():
                self._page.spoken(order)
                if trouble := await self._talk.say(order):
                    self._page.beside(f"({trouble})")
            case _:
                pass
        return True
