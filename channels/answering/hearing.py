"""What a turn's messages say: files are fetched and kept, voice notes are understood, once and for all.

A transcript is charged once for its message and used by every later run of the turn (channels.md section 6.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
import trio

from app.core.call_facts import Marks
from app.core.errors import Problem
from app.core.identity import Clock, Principal
from app.core.transcription import TranscriptionRequest
from app.providers.whatsapp.line import File, FileWanted, Line, MediaUnavailable
from app.storage import bot_turns, media, sent_messages
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from app.storage.ledger import Ending
from app.storage.media import StoredMedia
from app.usecases.settling import Beside
from app.usecases.sink import Served
from app.usecases.transcribe import AudioServices, Understood, plan_transcription, run_transcription
from app.usecases.upload import Upload
from channels.answering.asking import as_bot, facts_of
from channels.answering.closing import Begun
from channels.media import MediaStore

log = structlog.get_logger(__name__)
LARGEST: Final = 16 * 1024 * 1024
LARGEST_IMAGE: Final = 5 * 1024 * 1024
#: Of a recording.
LONGEST_MS: Final = 300_000
#: Recordings that one process holds at a time.
HEARD_AT_ONCE: Final = 32
#: Images that the model is shown in one turn, and bytes of them.
MOST_IMAGES: Final = 5
MOST_SEEN: Final = 8 * 1024 * 1024
FETCH_S: Final = 20.0
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
#: What a recording can be refused of before or by a model without anybody being at fault: it was not understood.
UNPAID: Final = frozenset({"insufficient_credits", "quota_exceeded", "budget_exceeded", "credits_held"})
PASSING: Final = frozenset({"rate_limit_exceeded", "too_many_concurrent_requests", "storage_unavailable"})


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it is now known: with its transcript, or its file. `file` is None where it could not be had."""

    message: StoredMessage
    file: File | None = None
    understood: bool = True


class Ears:
    """Fetches, keeps and understands what users send."""

    def __init__(self, db: Database, store: MediaStore, audio: AudioServices, *, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._audio = audio
        self._clock = clock
        self._room = trio.CapacityLimiter(HEARD_AT_ONCE)

    async def images(self, tenant_id: str, line: Line, messages: Sequence[StoredMessage]) -> dict[str, Heard]:
        """By the message's id; the newest with their images, as many as fit."""
        heard = {message.id: Heard(message) for message in messages}
        room = MOST_SEEN
        for message in reversed(messages[-MOST_IMAGES:]):
            found = await self._image(tenant_id, line, message)
            size = 0 if found.file is None else len(found.file.data)
            if size <= room:
                heard[message.id] = found
                room -= size
        return heard

    async def _image(self, tenant_id: str, line: Line, message: StoredMessage) -> Heard:
        """The message with its image; without where it cannot be had."""
        try:
            return Heard(message, await self._file(tenant_id, line, message, LARGEST_IMAGE))
        except MediaUnavailable as gone:
            log.info("media.unavailable", message=message.id, reason=str(gone))
            return Heard(message, understood=False)

    async def voice(self, begun: Begun, line: Line, message: StoredMessage) -> Heard:
        """The message with its transcript for its text. Raises Problem when it cannot be paid for, or not now."""
        tenant_id = begun.tenant_id
        message = await self._as_it_is(tenant_id, message)
        if _details(message).get("transcript"):
            return Heard(message, understood=bool(message.content.strip()))
        try:
            async with self._room:
                file = await self._file(tenant_id, line, message, LARGEST)
                text = await self._transcript(begun, message, file)
        except MediaUnavailable as gone:
            log.info("media.unavailable", message=message.id, reason=str(gone))
            return Heard(message, understood=False)
        except Problem as problem:
            if problem.code in UNPAID or problem.code in PASSING:
                raise
            log.info("voice.not_understood", message=message.id, code=problem.code)
            return Heard(message, understood=False)
        if not text.strip():
            return Heard(message, understood=False)
        return Heard(message._replace(content=text))

    async def _as_it_is(self, tenant_id: str, message: StoredMessage) -> StoredMessage:
        """By now it may be understood: the turn may have waited for another one's sake."""
        found = await self._db.read(tenant_id, lambda db: sent_messages.find_message(db, tenant_id, message.id))
        return found or message

    async def _file(self, tenant_id: str, line: Line, message: StoredMessage, cap: int) -> File:
        """Ours, if it was kept already, else the provider's, kept from now on."""
        try:
            return (await self._store.of_message(tenant_id, message.id))[0]
        except Problem as problem:
            if problem.code != "not_found":
                raise
        told = _details(message).get("media") or {}
        wanted = FileWanted(told.get("id", ""), told.get("url", ""), told.get("media_type", ""), told.get("sha256", ""))
        try:
            with trio.fail_after(FETCH_S):
                file = await line.fetch(wanted, cap)
        except trio.TooSlowError:
            raise MediaUnavailable(f"not fetched within {FETCH_S:g} s") from None
        try:
            row = await self._store.keep(tenant_id, message.id, file, told.get("name", ""))
        except OSError as error:
            log.error("media.not_kept", message=message.id, error=str(error))
            return file
        await self._db.write(tenant_id, lambda db: _insert(db, tenant_id, row))
        return file

    async def _transcript(self, begun: Begun, message: StoredMessage, file: File) -> str:
        config, tenant_id = begun.situation.config, begun.tenant_id
        language = config.language if LANGUAGE.fullmatch(config.language) else None
        wish = TranscriptionRequest(
            *(config.stt_model or None, "transcribe", language, "json", None, None), words=False
        )
        marks = Marks(begun.place.conversation_id, begun.turn_id)
        at = self._clock()

        def keep(understood: Understood, served: Served) -> Beside:
            text = understood.transcript.text.strip()

            def write(db: Transaction, _ending: Ending) -> None:
                bot_turns.put_leg(db, tenant_id, f"message:{message.id}", "stt", served.id, "{}", at)
                as_it_is = sent_messages.find_message(db, tenant_id, message.id) or message  # or was, a moment ago
                details = msgspec.json.encode(_details(as_it_is) | {"transcript": True}).decode()
                bot_turns.set_content(db, tenant_id, message.id, text, details)

            return write

        upload = Upload()
        try:
            await upload.write(file.data)
            await upload.finish()
            if (await upload.measure()).length_ms > LONGEST_MS:
                raise Problem("invalid_value", "The recording is too long.")

            async def transcribe(principal: Principal) -> str:
                plan = plan_transcription(self._audio, principal, wish)
                facts = facts_of(marks, "transcription")
                done = await run_transcription(self._audio, principal, plan, wish, upload, facts, keep)
                return done.answer.transcript.text.strip()

            bot_id = begun.situation.conversation.bot_id
            return await as_bot(self._db, tenant_id, bot_id, self._clock, transcribe)
        finally:
            upload.close()


def lost(heard: Sequence[Heard]) -> list[StoredMessage]:
    """What cannot be answered after all: voice notes that nobody understood, images without a word that are gone."""
    return [
        each.message for each in heard if not (each.understood or (is_image(each.message) and each.message.content))
    ]


def is_image(message: StoredMessage) -> bool:
    return message.message_type == "image"


def _insert(db: Transaction, tenant_id: str, row: StoredMedia) -> None:
    if media.of_message(db, tenant_id, row.message_id) is None:
        media.insert_media(db, tenant_id, row)


def _details(message: StoredMessage) -> dict[str, Any]:
    return msgspec.json.decode(message.details, type=dict[str, Any])
