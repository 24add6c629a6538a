"""Answers as voice notes: spoken once, charged once, sent as ogg with opus; as text where that cannot be had.

An answer that is to be spoken is written down as `making` with its text. Its sound is kept as a file; then one
transaction charges it, gives the file its row and lets it go out: nobody pays for sound that nobody will hear.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, TypeGuard

import structlog
import trio

from app.core.bot_config import BotConfig
from app.core.call_facts import Marks
from app.core.errors import Problem, error_places
from app.core.identity import Clock, Principal
from app.core.speech import CONTENT_TYPES, SpeechRequest
from app.providers.whatsapp.line import File, MediaContent, TextContent
from app.storage import bot_turns, bots, media, send_moves, sends
from app.storage.bots import StoredBot
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from app.storage.media import StoredMedia
from app.storage.send_moves import StoredSend
from app.usecases.settling import Beside
from app.usecases.sink import Served
from app.usecases.speak import Spoken, run_speech
from app.usecases.transcribe import AudioServices
from channels.answering.asking import as_bot, facts_of
from channels.answering.closing import SWITCHED_OFF, TAKEN_OVER, Begun, Overtaken
from channels.answering.hearing import LANGUAGE
from channels.answering.situations import read_situation
from channels.bell import Bell
from channels.conversations import contents
from channels.media import MediaStore
from channels.whatsapp.text_form import reply_parts, to_speech

log = structlog.get_logger(__name__)
LONGEST_SPOKEN: Final = 900
SPEAK_S: Final = 60.0
LEG: Final = "tts"


def wants_voice(begun: Begun, providers: Collection[str]) -> bool:
    """Whether this turn is answered aloud: as the bot is set, and as the user has spoken or written, at one of the
    `providers` that can be given a file.
    """
    situation = begun.situation
    if situation.bot is None or situation.bot.type != "whatsapp_voice" or situation.number.provider not in providers:
        return False
    mode = situation.config.reply_mode
    return mode == "voice" or (mode == "mirror" and any(_was_spoken(message) for message in begun.inputs))


def may_speak(text: str) -> bool:
    """What is longer, or has no words, is written."""
    return len(text) <= LONGEST_SPOKEN and bool(to_speech(text).strip())


class Voice:
    """Speaks what is to be spoken."""

    def __init__(self, db: Database, store: MediaStore, audio: AudioServices, *, senders: Bell, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._audio = audio
        self._senders = senders
        self._clock = clock

    async def finish(self, tenant_id: str, conversation_id: str) -> None:
        """Speak what this conversation waits for, whoever began it. Raises Problem without a database."""
        waiting = await self._db.read(
            tenant_id, lambda db: send_moves.waiting(db, tenant_id, "conversation_id", conversation_id)
        )
        for send in waiting:
            if send.state == "making":
                await self._make(tenant_id, send)
                self._senders.ring()

    async def _make(self, tenant_id: str, send: StoredSend) -> None:
        text = _text_of(send)
        if not await self._is_spoken(tenant_id, send, text):
            await self._db.write(tenant_id, lambda db: _write_instead(db, tenant_id, send, text, self._clock()))

    async def _is_spoken(self, tenant_id: str, send: StoredSend, text: str) -> bool:
        """Speak it; False, nothing having been charged, where it cannot be had. Raises Problem without a database."""
        try:
            with trio.fail_after(SPEAK_S):
                await self._speak(tenant_id, send, text)
        except (Problem, bot_turns.LegTaken, trio.TooSlowError) as error:
            if isinstance(error, Problem) and error.code == "storage_unavailable":
                raise
            log.info("voice.not_spoken", send=send.id, reason=repr(error))
        except OSError as error:
            log.error("media.not_kept", message=send.message_id, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug: the conversation would stand still for ever
            log.error("voice.crashed", send=send.id, errors=error_places(error))
        else:
            return True
        return False

    async def _speak(self, tenant_id: str, send: StoredSend, text: str) -> None:
        """Raises Problem, LegTaken, OSError."""
        at = self._clock()
        situation = await self._db.read(
            tenant_id, lambda db: read_situation(db, tenant_id, send.conversation_id, at, lambda _: False)
        )
        bot = None if situation is None else situation.bot
        if situation is None or not _is_on(bot):
            raise Overtaken(SWITCHED_OFF)
        wish = _wish(to_speech(text), situation.config)
        facts = facts_of(Marks(send.conversation_id, send.turn_id), "speech")
        sound = _Sound(tenant_id, bot.id, send, _written(text), self._store, self._clock)

        async def speak(principal: Principal) -> None:
            await run_speech(self._audio, principal, wish, sound, facts)

        await as_bot(self._db, tenant_id, bot.id, self._clock, speak)


@dataclass
class _Sound:
    """A `SpeechSink` whose sound is a file before it is charged: what cannot be kept costs nothing.

    A file that is never charged has no row; it is swept as a stray.
    """

    tenant_id: str
    bot_id: str
    send: StoredSend
    otherwise: str
    store: MediaStore
    clock: Clock
    _data: bytearray = field(default_factory=bytearray)
    _row: StoredMedia = field(init=False)

    async def begin(self, served: Served) -> None:
        """A route that is tried again begins anew."""
        self._data.clear()

    async def write(self, data: bytes) -> None:
        self._data += data

    async def end(self) -> None:
        file = File(bytes(self._data), CONTENT_TYPES["opus"])
        self._row = await self.store.keep(self.tenant_id, self.send.message_id, file)

    def settling(self, _spoken: Spoken, served: Served) -> Beside:
        return lambda db, _ending: self._put(db, served.id)

    def _put(self, db: Transaction, call_id: str) -> None:
        """In the transaction of the charge: the file has a row and goes out. Raises LegTaken, Overtaken: then neither
        is, and it is free.
        """
        tenant_id, send, row, at = self.tenant_id, self.send, self._row, self.clock()
        bot_turns.put_leg(db, tenant_id, send.turn_id, LEG, call_id, "{}", at)
        if media.find_media(db, tenant_id, row.id) is not None:
            return  # it was written, and we were not told
        if not _is_on(bots.find_bot(db, tenant_id, self.bot_id)):
            raise Overtaken(SWITCHED_OFF)
        note = MediaContent("audio", kept=row.id, voice=True, otherwise=self.otherwise)
        if not sends.made(db, tenant_id, send.message_id, send.part, *contents.write(note), at):
            raise Overtaken(TAKEN_OVER)
        media.insert_media(db, tenant_id, row)


def _is_on(bot: StoredBot | None) -> TypeGuard[StoredBot]:
    return bot is not None and bot.is_active


def _text_of(send: StoredSend) -> str:
    try:
        content = contents.read(send.kind, send.body)
    except ValueError:  # of a version that is not ours
        return ""
    return content.body if isinstance(content, TextContent) else ""


def _write_instead(db: Transaction, tenant_id: str, send: StoredSend, text: str, at_us: int) -> None:
    sends.made(db, tenant_id, send.message_id, send.part, *contents.write(TextContent(_written(text))), at_us)


def _written(text: str) -> str:
    """It is short enough to be one part, at either provider."""
    return (reply_parts(text, "twilio") or [text])[0]


def _wish(text: str, config: BotConfig) -> SpeechRequest:
    return SpeechRequest(
        input=text,
        model=config.tts_model or None,
        voice=config.voice or None,
        language=config.language if LANGUAGE.fullmatch(config.language) else None,
        speed=None,
        sample_rate=None,
        format="opus",
        instructions=None,
        ignored=(),
    )


def _was_spoken(message: StoredMessage) -> bool:
    return message.message_type in ("voice", "audio")
