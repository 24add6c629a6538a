"""What a bot may do besides talking: the tenant's own HTTP functions, web search, and the ones that end its turn.

An HTTP function is posted the model's arguments, signed like a webhook, with `Idempotency-Key: TURN:CALL`: a turn that
runs again after a crash calls it under the same key. What a user writes chooses neither functions nor where they lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
import trio

from app.core.bot_config import BotConfig, HttpTool
from app.core.call_facts import Marks
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.search import parse_search
from app.core.webhooks import signature
from app.providers.receivers import Unreachable
from app.providers.wire import Headers
from app.usecases.deliveries import Way
from app.usecases.search import Answer as SearchAnswer
from app.usecases.search import SearchServices, run_search
from app.usecases.settling import Beside
from app.usecases.sink import Served
from channels.answering.asking import ToolCall, facts_of

log = structlog.get_logger(__name__)
HANDOFF: Final = "handoff"
BUTTONS: Final = "reply_buttons"
SEARCH: Final = "web_search"
#: They end the turn.
LAST_WORDS: Final = frozenset({HANDOFF, BUTTONS})
LONGEST_RESULT: Final = 4096
RESULTS: Final = 5
MOST_CHOICES: Final = 10
GOOD: Final = range(200, 300)

_TEXT: Final = {"type": "string"}
_OWN: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    HANDOFF: (
        "Pass the conversation on to a person, when the user asks for one or you cannot help. Say so in your answer.",
        {"type": "object", "properties": {"reason": _TEXT}, "required": ["reason"]},
    ),
    BUTTONS: (
        "Answer with a question and up to ten short choices for the user to tap.",
        {
            "type": "object",
            "properties": {"text": _TEXT, "choices": {"type": "array", "items": _TEXT, "maxItems": MOST_CHOICES}},
            "required": ["text", "choices"],
        },
    ),
    SEARCH: (
        "Search the web for what you do not know.",
        {"type": "object", "properties": {"query": _TEXT}, "required": ["query"]},
    ),
}


class Choices(msgspec.Struct, frozen=True):
    """The arguments of `reply_buttons`."""

    text: str
    choices: list[str]


class _Query(msgspec.Struct, frozen=True):
    query: str


@dataclass(frozen=True, slots=True)
class ToolCase:
    """One call of a function, in its turn. `secret` signs what goes out; `keep` records what a charged search found."""

    call: ToolCall
    key: str
    config: BotConfig
    secret: str
    principal: Principal
    marks: Marks
    keep: Callable[[str, str], Beside]


def definitions(config: BotConfig) -> list[dict[str, Any]]:
    """The functions of this bot, as the model is told of them."""
    own = {HANDOFF: config.handoff_tool, BUTTONS: config.reply_buttons, SEARCH: config.web_search}
    told = [(name, *_OWN[name]) for name, wanted in own.items() if wanted]
    told += [(tool.name, tool.description, tool.parameters) for tool in config.tools if tool.name not in own]
    return [
        {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}
        for name, about, parameters in told
    ]


def read_choices(call: ToolCall) -> Choices | None:
    """None when the model did not fill them in."""
    try:
        read = msgspec.json.decode(call.arguments, type=Choices)
    except msgspec.DecodeError:
        return None
    titles = [title.strip() for title in read.choices if title.strip()][:MOST_CHOICES]
    return Choices(read.text.strip(), titles) if read.text.strip() and titles else None


class Tools:
    """Runs functions. Nothing that one does ends a turn: the model is told what went wrong instead."""

    def __init__(self, way: Way, search: SearchServices) -> None:
        self._way = way
        self._search = search

    async def run(self, case: ToolCase) -> tuple[str, bool]:
        """(what the model is told, whether that is on record already)."""
        name = case.call.name
        if name == SEARCH and case.config.web_search:
            return await self._look_up(case)
        tool = next((tool for tool in case.config.tools if tool.name == name), None)
        if tool is None:
            return _error("there is no such function"), False
        return await self._post(case, tool), False

    async def _post(self, case: ToolCase, tool: HttpTool) -> str:
        body = case.call.arguments.encode() or b"{}"
        try:
            msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            return _error("the arguments are not a JSON object")
        headers: Headers = [
            (b"Content-Type", b"application/json"),
            (b"User-Agent", b"CallMissed-Bots/1"),
            (b"Idempotency-Key", case.key.encode()),
            (b"X-CallMissed-Signature", signature(case.secret, body).encode()),
        ]
        try:
            with trio.fail_after(tool.timeout_seconds):
                answer = await self._way.post(tool.url, headers, body)
        except trio.TooSlowError:
            return _error(f"no answer within {tool.timeout_seconds:g} s")
        except Unreachable as unreachable:
            log.info("bots.tool_unreachable", tool=tool.name, error=str(unreachable))
            return _error("it could not be reached")
        text = answer.body.decode("utf-8", "replace")[:LONGEST_RESULT].replace("\0", "\ufffd")
        return text if answer.status in GOOD else _error(f"status {answer.status}: {text}")

    async def _look_up(self, case: ToolCase) -> tuple[str, bool]:
        try:
            query = msgspec.json.decode(case.call.arguments, type=_Query).query
            search = parse_search(msgspec.json.encode({"query": query, "num_results": RESULTS}))
        except (msgspec.DecodeError, Problem):
            return _error("query must be a text to search for"), False
        facts = facts_of(case.marks, "search")

        def beside(answer: SearchAnswer, served: Served) -> Beside:
            return case.keep(_found(answer), served.id)

        try:
            done = await run_search(self._search, case.principal, search, facts, beside)
        except Problem as problem:
            log.info("bots.search_failed", code=problem.code)
            return _error("the search is not available"), False
        return _found(done.answer), True


def _found(answer: SearchAnswer) -> str:
    results = [
        {"title": result.title, "url": result.url, "text": result.snippet[:500]}
        for result in answer[0].results[:RESULTS]
    ]
    return msgspec.json.encode(results).decode()


def _error(why: str) -> str:
    return msgspec.json.encode({"error": why}).decode()
