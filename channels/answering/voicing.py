"""Answers as voice notes: spoken once, charged once, sent as ogg with opus; as text where that cannot be had.

An answer that is to be spoken is written down as `making` with its text. Its sound is kept with its charge in one
transaction, so a process that dies before it is a file costs nobody anything twice.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Final

import msgspec
import structlog
import trio

from app.core.bot_config import BotConfig
from app.core.call_facts import Marks
from app.core.errors import Problem, error_places
from app.core.identity import Clock, Principal
from app.core.speech import CONTENT_TYPES, SpeechRequest
from app.providers.whatsapp.line import File, MediaContent, TextContent
from app.storage import bot_turns, media, send_moves, sends
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from app.storage.ledger import Ending
from app.storage.media import StoredMedia
from app.storage.send_moves import StoredSend
from app.usecases.settling import Beside
from app.usecases.sink import Served
from app.usecases.speak import Spoken, run_speech
from app.usecases.transcribe import AudioServices
from channels.answering.asking import as_bot, facts_of
from channels.answering.closing import Begun
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
        row = await self._kept(tenant_id, send, text)
        if row is None:
            await self._db.write(tenant_id, lambda db: _write_instead(db, tenant_id, send, text, self._clock()))
            return
        note = MediaContent("audio", kept=row.id, voice=True, otherwise=_written(text))

        def made(db: Transaction) -> None:
            if sends.made(db, tenant_id, send.message_id, send.part, *contents.write(note), self._clock()):
                media.insert_media(db, tenant_id, row)
                bot_turns.empty_leg(db, tenant_id, send.turn_id, LEG)

        await self._db.write(tenant_id, made)

    async def _kept(self, tenant_id: str, send: StoredSend, text: str) -> StoredMedia | None:
        """The sound as a file of ours, None when it cannot be had. Raises Problem without a database, LegTaken."""
        try:
            with trio.fail_after(SPEAK_S):
                file = await self._speak(tenant_id, send, text)
                return await self._store.keep(tenant_id, send.message_id, file)
        except (Problem, OSError, trio.TooSlowError) as error:
            if isinstance(error, Problem) and error.code == "storage_unavailable":
                raise
            log.info("voice.not_spoken", send=send.id, reason=repr(error))
        except bot_turns.LegTaken:
            raise
        except Exception as error:  # noqa: BLE001 - a bug: the conversation would stand still for ever
            log.error("voice.crashed", send=send.id, errors=error_places(error))
        return None

    async def _speak(self, tenant_id: str, send: StoredSend, text: str) -> File:
        """The sound, from the record if it has been paid for already. Raises Problem."""
        at = self._clock()
        legs, situation = await self._db.read(
            tenant_id,
            lambda db: (
                bot_turns.legs(db, tenant_id, send.turn_id),
                read_situation(db, tenant_id, send.conversation_id, at, lambda _: False),
            ),
        )
        if LEG in legs:
            return File(base64.b64decode(msgspec.json.decode(legs[LEG], type=str)), CONTENT_TYPES["opus"])
        if situation is None or situation.bot is None:
            raise Problem("not_found", "The bot is gone.")
        wish = _wish(to_speech(text), situation.config)
        marks = Marks(send.conversation_id, send.turn_id)
        sound = _Sound(tenant_id, send.turn_id, at)

        async def speak(principal: Principal) -> None:
            facts = facts_of(marks, "speech")
            await run_speech(self._audio, principal, wish, sound, facts)

        await as_bot(self._db, tenant_id, situation.bot.id, self._clock, speak)
        return File(bytes(sound.data), CONTENT_TYPES["opus"])


class _Sound:
    """A `SpeechSink` that keeps the sound with its charge."""

    def __init__(self, tenant_id: str, turn_id: str, at_us: int) -> None:
        self.data = bytearray()
        self._tenant_id = tenant_id
        self._turn_id = turn_id
        self._at_us = at_us

    async def begin(self, served: Served) -> None:
        """A route that is tried again begins anew."""
        self.data.clear()

    async def write(self, data: bytes) -> None:
        self.data += data

    def settling(self, _spoken: Spoken, served: Served) -> Beside:
        kept = msgspec.json.encode(base64.b64encode(self.data).decode()).decode()

        def write(db: Transaction, _ending: Ending) -> None:
            bot_turns.put_leg(db, self._tenant_id, self._turn_id, LEG, served.id, kept, self._at_us)

        return write


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
