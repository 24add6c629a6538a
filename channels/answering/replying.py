"""The bot's side of a turn: what was said to it, questions to the model, functions that it calls, its answer.

Each leg is written down with its charge (`channels.answering.turns`); a leg that is on record is not asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
import trio

from app.core.bot_config import BotConfig
from app.core.call_facts import Marks
from app.core.errors import Problem, UpstreamError
from app.core.identity import Clock, Principal
from app.providers.whatsapp.line import Line
from app.storage import bot_turns
from app.storage.conversations import StoredMessage
from app.storage.database import Database, Transaction
from app.storage.ledger import Ending
from app.usecases.settling import Beside
from channels.answering import closing
from channels.answering.asking import NOTHING_TO_SEND, Answer, Settling, ToolCall, as_bot
from channels.answering.closing import Begun
from channels.answering.hearing import Ears, Heard
from channels.answering.last_words import LastWords, are_readable, last_words, saying
from channels.answering.listening import MOST_INPUTS, Listener
from channels.answering.prompt import BotPrompt, chat_body
from channels.answering.tools import ToolCase, Tools, definitions
from channels.answering.understanding import past_of, user_parts
from channels.answering.voicing import wants_voice
from channels.conversations import people

T = TypeVar("T")
#: Rounds of functions in one turn.
MOST_ROUNDS: Final = 8
#: Functions that run in one round; the model is told that the others did not.
MOST_CALLS: Final = 8
TOO_MANY: Final = '{"error": "too many functions at once; this one was not run"}'


class Asker(Protocol):
    """Asks a model: `channels.answering.asking.ask` with what it works with."""

    async def __call__(
        self, principal: Principal, body: dict[str, Any], marks: Marks, settling: Settling
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class ReplyServices:
    """What replies are made with."""

    db: Database
    ask: Asker
    ears: Ears
    tools: Tools
    #: The model of a bot, for a question with images or without.
    model_for: Callable[[BotConfig, bool], str]
    takes_tools: Callable[[str], bool]
    #: What the calls of a bot's functions are signed with, of the tenant and the bot's sealed secrets.
    secret_of: Callable[[str, str], str]
    clock: Clock
    #: Whom a voice note can be given to. Twilio fetches it, for which it must know where.
    voiced: frozenset[str] = frozenset({"meta"})


class Replier:
    """Makes the answer of a turn and writes it down."""

    def __init__(self, services: ReplyServices) -> None:
        self._services = services
        self._db = services.db
        self._listener = Listener(services.db, services.ears, clock=services.clock)

    def room(self, begun: Begun) -> AbstractAsyncContextManager[object]:
        """To be in while the turn is heard and answered."""
        return self._listener.room(begun)

    async def hear(self, begun: Begun, line: Line) -> tuple[Begun, list[Heard]]:
        """What the turn's messages say, and the turn without those that say nothing: none may be left.

        Raises Problem, Overtaken.
        """
        return await self._listener.hear(begun, line)

    async def answer(self, begun: Begun, heard: Sequence[Heard], *, may_restart: bool) -> None:
        """Answer what was heard. Raises Problem, the user having been told nothing; Overtaken."""
        body = chat_body(
            self._prompt(begun, sees=any(each.file is not None for each in heard)),
            [words for message in begun.history if (words := past_of(message)) is not None],
            await self._parts(begun, heard),
            self._services.clock(),
        )
        for number in range(1, MOST_ROUNDS + 2):
            if number > MOST_ROUNDS:
                body.pop("tools", None)
            asked = await self._leg(begun, number, body, may_restart=may_restart)
            if self._words(begun, number, asked) is not None:
                return
            since = trio.current_time()
            results = await self._run_all(begun, number, asked.calls)
            begun.spend("functions", trio.current_time() - since)
            body["messages"] = [*body["messages"], _said(asked), *results]
        raise AssertionError("without functions every answer is the last")

    def _prompt(self, begun: Begun, *, sees: bool) -> BotPrompt:
        situation = begun.situation
        model = self._services.model_for(situation.config, sees)
        return BotPrompt(
            system_prompt=situation.bot.system_prompt if situation.bot is not None else "",
            config=situation.config,
            business=situation.number.name,
            contact_name=situation.contact.name,
            tools=definitions(situation.config) if self._services.takes_tools(model) else (),
            model=model,
            spoken=wants_voice(begun, self._services.voiced),
        )

    async def _parts(self, begun: Begun, heard: Sequence[Heard]) -> list[list[dict[str, Any]] | str]:
        """Each input as the model reads it, with what it answers."""
        told = {each.message.id: _reply_to(each.message) for each in heard}
        tenant_id, conversation_id = begun.tenant_id, begun.place.conversation_id

        def read(db: Transaction) -> dict[str, StoredMessage | None]:
            ids = {each for each in told.values() if each}
            return {each: bot_turns.by_provider_id(db, tenant_id, conversation_id, each) for each in ids}

        quoted = await self._db.read(tenant_id, read) if any(told.values()) else {}
        return [
            user_parts(each.message, picture=each.file, answered=quoted.get(told[each.message.id]))
            for each in heard[-MOST_INPUTS:]
        ]

    async def _leg(self, begun: Begun, number: int, body: dict[str, Any], *, may_restart: bool) -> Answer:
        """One question to the model, or its answer from the record."""
        name = f"llm:{number}"
        if name in begun.legs:
            return await self._recorded(begun, number, msgspec.json.decode(begun.legs[name], type=Answer))
        began = trio.current_time()

        def settling(answer: Answer) -> Beside:
            words = self._words(begun, number, answer)
            asked = replace(begun, spent_ms={**begun.spent_ms})
            asked.spend("model", trio.current_time() - began)
            return partial(self._write_leg, asked, name, answer, words, may_restart)

        marks = Marks(begun.place.conversation_id, begun.turn_id)
        answer = await self._as_bot(begun, lambda principal: self._services.ask(principal, body, marks, settling))
        begun.spend("model", trio.current_time() - began)
        begun.legs[name] = _kept(answer)
        return answer

    async def _recorded(self, begun: Begun, number: int, answer: Answer) -> Answer:
        """An answer from the record. One that called a function ends the turn if the bot takes that for its last words
        by now.
        """
        try:
            words = self._words(begun, number, answer)
        except UpstreamError as nothing:
            raise nothing.problem() from None
        if words is not None:

            def write(db: Transaction) -> None:
                closing.check_ours(db, begun, may_restart=False)
                self._say(begun, f"llm:{number}", answer, words, db)

            await self._db.write(begun.tenant_id, write)
        return answer

    @staticmethod
    def _words(begun: Begun, number: int, answer: Answer) -> LastWords | None:
        """Those that end the turn; None when functions are to be run first. Raises UpstreamError for none at all."""
        words = last_words(answer, begun.situation.config)
        if words is None if number > MOST_ROUNDS else words is not None and not are_readable(begun, words):
            raise UpstreamError("upstream_error", NOTHING_TO_SEND, retry="once", detail="no words")
        return words

    def _write_leg(
        self,
        begun: Begun,
        name: str,
        answer: Answer,
        words: LastWords | None,
        may_restart: bool,
        db: Transaction,
        _ending: Ending,
    ) -> None:
        """In the transaction of the charge: the leg, and with the last one the whole end of the turn."""
        at = self._services.clock()
        closing.check_ours(db, begun, may_restart=may_restart)
        bot_turns.put_leg(db, begun.tenant_id, begun.turn_id, name, answer.call_id, _kept(answer), at)
        if words is not None:
            self._say(begun, name, answer, words, db)

    def _say(self, begun: Begun, name: str, answer: Answer, words: LastWords, db: Transaction) -> None:
        at, place = self._services.clock(), begun.place
        facts = {"model": answer.model, "legs": name}
        aloud = wants_voice(begun, self._services.voiced)
        closing.answer(db, begun, saying(begun, answer, words, aloud=aloud), facts, at)
        if words.hands_over:
            people.hand_over(db, place.tenant_id, place.conversation_id, at, flag="handoff")

    async def _run_all(self, begun: Begun, number: int, calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
        """Run the functions of one round side by side; what the model is told of each, in its order. Raises Problem."""
        results: dict[int, str] = {}
        failures: list[Problem] = []

        async def run(index: int, call: ToolCall) -> None:
            try:
                results[index] = await self._run(begun, f"{number}:{index}", call)
            except Problem as problem:
                failures.append(problem)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for index, call in enumerate(calls[:MOST_CALLS]):
                nursery.start_soon(run, index, call)
        if failures:
            raise failures[0]
        return [
            {"role": "tool", "tool_call_id": call.id, "content": results.get(index, TOO_MANY)}
            for index, call in enumerate(calls)
        ]

    async def _run(self, begun: Begun, place: str, call: ToolCall) -> str:
        name = f"tool:{place}"
        if name in begun.legs:
            return msgspec.json.decode(begun.legs[name], type=str)
        tenant_id, turn_id, at = begun.tenant_id, begun.turn_id, self._services.clock()
        bot = begun.situation.bot

        def put(result: str, call_id: str, db: Transaction, _ending: Ending | None = None) -> None:
            bot_turns.put_leg(db, tenant_id, turn_id, name, call_id, _kept(result), at)

        async def work(principal: Principal) -> tuple[str, bool]:
            case = ToolCase(
                call=call,
                key=f"{turn_id}:{place}",
                config=begun.situation.config,
                secret=self._services.secret_of(tenant_id, "" if bot is None else bot.secrets),
                principal=principal,
                marks=Marks(begun.place.conversation_id, turn_id),
                keep=lambda result, call_id: partial(put, result, call_id),
            )
            return await self._services.tools.run(case)

        result, on_record = await self._as_bot(begun, work)
        if not on_record:
            await self._db.write(tenant_id, partial(put, result, ""), durable=False)
        begun.legs[name] = _kept(result)
        return result

    async def _as_bot(self, begun: Begun, work: Callable[[Principal], Awaitable[T]]) -> T:
        bot_id = begun.situation.conversation.bot_id
        return await as_bot(self._db, begun.tenant_id, bot_id, self._services.clock, work)


def _kept(result: Answer | str) -> str:
    return msgspec.json.encode(result).decode()


def _reply_to(message: StoredMessage) -> str:
    told = msgspec.json.decode(message.details, type=dict[str, Any]).get("reply_to")
    return told if isinstance(told, str) else ""


def _said(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}
