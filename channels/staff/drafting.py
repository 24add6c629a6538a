"""What the bot would say now: written for a person to look at, never sent, paid like any other call of the bot's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any, Final

import msgspec

from app.core.bot_config import read_config
from app.core.call_facts import Marks
from app.core.conversations import Draft
from app.core.errors import Problem
from app.core.identity import Clock, Principal, now_us
from app.storage import bots, contacts, conversations, members, numbers
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from app.usecases.chat_services import ChatServices
from app.usecases.conversations import found_conversation
from channels.answering.asking import Answer, as_bot, ask
from channels.answering.prompt import BotPrompt, Past, chat_body
from channels.answering.understanding import past_of
from channels.whatsapp.text_form import shorten, to_whatsapp

LONGEST_DRAFT: Final = 4096
#: Messages that are looked at; the bot's own configuration says how many of them the model is told of.
MOST_MESSAGES: Final = 200


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a draft is made of; `spoken` is oldest first."""

    bot_id: str
    prompt: BotPrompt
    spoken: list[Past]


class Drafts:
    """Drafts in conversations of any tenant."""

    def __init__(self, db: Database, chat: ChatServices, *, clock: Clock = now_us) -> None:
        self._db = db
        self._chat = chat
        self._clock = clock

    async def write(self, tenant_id: str, conversation_id: str) -> Draft:
        """The bot's answer to what the user said last. Raises Problem: 404, 409 where there is nothing to answer or
        nobody to do it, and whatever a chat call is refused with.
        """
        scene = await self._db.read(tenant_id, lambda db: _scene(db, tenant_id, conversation_id))
        body = _body(scene, self._clock())

        async def work(principal: Principal) -> Answer:
            return await ask(self._chat, principal, body, Marks(conversation_id))

        answer = await as_bot(self._db, tenant_id, scene.bot_id, self._clock, work)
        return Draft(shorten(to_whatsapp(answer.text), LONGEST_DRAFT))


def _scene(db: Transaction, tenant_id: str, conversation_id: str) -> _Scene:
    conversation = found_conversation(db, tenant_id, conversation_id)
    bot = bots.find_bot(db, tenant_id, conversation.bot_id)
    if bot is None or not bot.system_prompt.strip():
        raise Problem("conflict", "The bot of this conversation was deleted or has no system_prompt.")
    newest = conversations.list_messages(db, tenant_id, conversation_id, after=None, limit=MOST_MESSAGES)
    spoken = [words for message in sorted(newest, key=_order) if (words := past_of(message)) is not None]
    if not any(words.role == "user" for words in spoken):
        raise Problem("conflict", "The user has said nothing yet that can be answered.")
    contact = contacts.find_contact(db, tenant_id, conversation.contact_id)
    number = numbers.find_number(db, tenant_id, conversation.number_id)
    prompt = BotPrompt(
        system_prompt=bot.system_prompt,
        config=read_config(msgspec.json.decode(bot.config)),
        business=(number and number.name) or members.read_tenant(db, tenant_id).name,
        contact_name="" if contact is None else contact.name,
    )
    return _Scene(bot.id, prompt, spoken)


def _order(message: StoredMessage) -> tuple[int, int, str]:
    return message.created_us, message.seq, message.id


def _body(scene: _Scene, now_us: int) -> dict[str, Any]:
    """The last thing that the user said is asked, whatever has been answered to it."""
    newest_first = list(dropwhile(lambda words: words.role == "assistant", reversed(scene.spoken)))
    asked = list(takewhile(lambda words: words.role == "user", newest_first))
    before = newest_first[len(asked) :]
    return chat_body(scene.prompt, before[::-1], [words.text for words in reversed(asked)], now_us)
