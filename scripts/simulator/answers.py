"""What a model would have said to a request: choices in pieces, tool calls, token counts. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import msgspec

from app.core.tokens import count_messages, count_text
from scripts.simulator import words
from scripts.simulator.chat_request import ChatRequest
from scripts.simulator.cues import Cues
from scripts.simulator.examples import example
from scripts.simulator.settings import Settings
from scripts.simulator.triggers import Quirk
from scripts.simulator.words import Piece

#: The call a trigger forces when the request brings no tools.
_DEFAULT_TOOL: dict[str, Any] = {
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
}
_TWO_CALLS = frozenset[Quirk]({"no_index", "all_zero_index"})
_ONE_CALL = frozenset[Quirk]({"stop_with_tools", "object_arguments"})


class Call(NamedTuple):
    """A tool call; its name costs tokens with the first fragment of its arguments."""

    position: int
    id: str
    name: str
    fragments: tuple[Piece, ...]

    @property
    def arguments(self) -> str:
        return "".join(piece.text for piece in self.fragments)


class Event(NamedTuple):
    """The next thing one choice says. `call` is set for tool fragments; `opens` marks a call's first fragment."""

    choice: int
    kind: Literal["reasoning", "content", "tool"]
    text: str
    tokens: int
    call: Call | None = None
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the request's `n` answers."""

    index: int
    reasoning: tuple[Piece, ...]
    content: tuple[Piece, ...]
    calls: tuple[Call, ...]
    finish: str

    @property
    def tokens(self) -> int:
        said = sum(piece.tokens for piece in self.reasoning + self.content)
        return said + sum(event.tokens for call in self.calls for event in self._call_events(call))

    def events(self) -> Iterator[Event]:
        """In the order a model would send them; parallel calls come one after the other."""
        for piece in self.reasoning:
            yield Event(self.index, "reasoning", *piece)
        for piece in self.content:
            yield Event(self.index, "content", *piece)
        for call in self.calls:
            yield from self._call_events(call)

    def _call_events(self, call: Call) -> Iterator[Event]:
        name_tokens = count_text(call.name)
        for at, piece in enumerate(call.fragments):
            yield Event(self.index, "tool", piece.text, piece.tokens + (0 if at else name_tokens), call, at == 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """All choices and what they cost; `completion_tokens` is the sum over all events."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int

    @property
    def completion_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        return sum(piece.tokens for choice in self.choices for piece in choice.reasoning)

    def events(self) -> Iterator[Event]:
        """The choices take turns, as in a provider's stream."""
        if len(self.choices) == 1:
            yield from self.choices[0].events()
            return
        for turn in zip_longest(*(choice.events() for choice in self.choices)):
            yield from (event for event in turn if event is not None)


def compose(request: ChatRequest, cues: Cues, quirks: frozenset[Quirk], settings: Settings, ids: str) -> Answer:
    """The whole answer. The prompt is counted with `count_messages`, tools included; tool calls ignore the limit."""
    prompt = count_messages(request.messages, request.tools)
    choices = tuple(_choice(index, request, cues, quirks, settings, ids) for index in range(request.n or 1))
    return Answer(choices, prompt, min(cues.cached, prompt))


def _choice(
    index: int, request: ChatRequest, cues: Cues, quirks: frozenset[Quirk], settings: Settings, ids: str
) -> Choice:
    if "empty_answer" in quirks:
        return Choice(index, (), (), (), "stop")
    reasoning: tuple[Piece, ...] = ()
    if request.reasons:
        length = settings.reasoning_tokens if cues.reasoning is None else cues.reasoning
        reasoning = words.say(words.STORY, length, index + 1)
    calls = _calls(request, cues, quirks, f"{ids}_{index}")
    if calls:
        return Choice(index, reasoning, (), calls, "stop" if "stop_with_tools" in quirks else "tool_calls")
    content = _content(index, request, cues, quirks, settings)
    kept_reasoning, room = _fit(reasoning, request.limit)
    kept, _ = _fit(content, room)
    short = len(kept) < len(content) or len(kept_reasoning) < len(reasoning)
    return Choice(index, kept_reasoning, kept, (), "length" if short or "length" in quirks else "stop")


def _content(
    index: int, request: ChatRequest, cues: Cues, quirks: frozenset[Quirk], settings: Settings
) -> tuple[Piece, ...]:
    length = settings.default_tokens if cues.tokens is None else cues.tokens
    if "giant_line" in quirks:
        return (words.giant(),)
    if "numbered" in quirks:
        return words.say(words.NUMBERS, length)
    if "split_utf8" in quirks:
        return words.say(words.SCRIPTS, length)
    wanted = request.response_format or {}
    if wanted.get("type") == "json_schema":
        return words.cut_up(_json(example((wanted.get("json_schema") or {}).get("schema"))))
    if wanted.get("type") == "json_object":
        return words.cut_up(_json({"answer": "".join(piece.text for piece in words.say(words.STORY, length, index))}))
    return words.say(words.STORY, length, index)


def _fit(pieces: tuple[Piece, ...], limit: int | None) -> tuple[tuple[Piece, ...], int | None]:
    """The pieces that fit the limit, and what is left of it. A giant piece is never cut."""
    if limit is None:
        return pieces, None
    kept, left = [], limit
    for piece in pieces:
        if piece.tokens > left and len(pieces) > 1:
            break
        kept.append(piece)
        left -= piece.tokens
    return tuple(kept), max(left, 0)


def _calls(request: ChatRequest, cues: Cues, quirks: frozenset[Quirk], ids: str) -> tuple[Call, ...]:
    chosen = request.tool_choice
    count = 0
    if request.tools and chosen != "none" and not request.tool_answered:
        count = cues.tools or int(chosen == "required" or isinstance(chosen, dict))
    count = max(count, 2 if quirks & _TWO_CALLS else 0, 1 if quirks & _ONE_CALL else 0)
    tools = [tool["function"] for tool in request.tools or [_DEFAULT_TOOL] if isinstance(tool.get("function"), dict)]
    if isinstance(chosen, dict):
        name = (chosen.get("function") or {}).get("name")
        tools = [tool for tool in tools if tool.get("name") == name] or tools
    if cues.tool:
        tools = [tool for tool in tools if tool.get("name") == cues.tool]
    if not tools:
        return ()
    return tuple(_call(at, tools[at % len(tools)], f"call_{ids}_{at}") for at in range(count))


def _call(position: int, tool: dict[str, Any], call_id: str) -> Call:
    fragments = words.cut_up(_json(example(tool.get("parameters"))))
    return Call(position, call_id, str(tool.get("name")), fragments)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
