"""What the messages of a turn say, before anybody is asked: which of them are looked at, and which say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Final

import trio

from app.core.identity import Clock
from app.providers.whatsapp.line import Line
from app.storage import bot_turns
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from channels.answering import closing
from channels.answering.closing import Begun
from channels.answering.deciding import Notice
from channels.answering.hearing import Ears, Heard, is_image, lost
from channels.answering.understanding import answerable

#: Of a burst the newest are shown to the model; what it is not shown is not fetched, understood and charged either.
MOST_INPUTS: Final = 50
#: Turns with images that one process answers at a time: the images are held in memory until they are answered.
SEEING_AT_ONCE: Final = 32


class Listener:
    """Takes in what a turn is to answer."""

    def __init__(self, db: Database, ears: Ears, *, clock: Clock) -> None:
        self._db = db
        self._ears = ears
        self._clock = clock
        self._seeing = trio.CapacityLimiter(SEEING_AT_ONCE)

    def room(self, begun: Begun) -> AbstractAsyncContextManager[object]:
        """To be in while the turn is heard and answered."""
        return self._seeing if any(map(is_image, begun.inputs)) else nullcontext()

    async def hear(self, begun: Begun, line: Line) -> tuple[Begun, list[Heard]]:
        """What the turn's messages say, and the turn without those that say nothing: none may be left.

        Raises Problem, Overtaken.
        """
        heard = await self._hear(begun, line)
        gone = {message.id: message for message in lost(heard)}
        if not gone:
            return begun, heard
        left = await self._set_aside(begun, list(gone.values()))
        return left, [each for each in heard if each.message.id not in gone]

    async def _hear(self, begun: Begun, line: Line) -> list[Heard]:
        situation = begun.situation
        kind_of_bot = "" if situation.bot is None else situation.bot.type
        heard = {message.id: Heard(message) for message in begun.inputs}
        images, voices = [], []
        began = trio.current_time()
        for message in begun.inputs[-MOST_INPUTS:]:
            kind = answerable(message, kind_of_bot, situation.config, can_see=situation.can_see)
            if kind == "image":
                images.append(message)
            elif kind == "voice":
                voices.append(message)
        for message in voices:
            heard[message.id] = await self._ears.voice(begun, line, message)
        if images:
            heard |= await self._ears.images(begun.tenant_id, line, images)
        if images or voices:
            begun.spend("heard", trio.current_time() - began)
        return list(heard.values())

    async def _set_aside(self, begun: Begun, gone: Sequence[StoredMessage]) -> Begun:
        """Say that this was not understood; what is left of the turn."""
        at = self._clock()
        ids = {message.id for message in gone}
        left = [message for message in begun.inputs if message.id not in ids]
        situation = closing.later(begun.situation, at)
        config = situation.config
        unseen = [message.id for message in gone if is_image(message)]
        unheard = [message.id for message in gone if not is_image(message)]
        words = [Notice("unheard", config.unheard_message)] if unheard else []
        words += [Notice("unsupported", config.unsupported_message)] if unseen else []

        def write(db: Transaction) -> None:
            closing.check_ours(db, begun, may_restart=False)
            bot_turns.dispose(db, begun.tenant_id, unheard, "unheard", begun.turn_id)
            bot_turns.dispose(db, begun.tenant_id, unseen, "unsupported", begun.turn_id)
            closing.tell(db, begun.place, situation, words, begun.turn_id)
            if not left:
                closing.drop(db, begun, "unheard", at)

        await self._db.write(begun.tenant_id, write)
        return replace(begun, inputs=left)
