"""A turn as one JSON body, with the faults its trigger asks for."""

from __future__ import annotations

from typing import Any

import msgspec

from scripts.simulator.answers import Call, Choice
from scripts.simulator.turn import Turn

Json = dict[str, Any]


def whole_body(turn: Turn) -> Json:
    """The completion object; under an in-band error, the dialect's error in its place."""
    dialect = turn.dialect
    if turn.trigger.error:
        return dialect.envelope(dialect.errors["server_error"])
    choices = [_choice(turn, choice) for choice in turn.answer.choices]
    if turn.has("shuffled_choices"):
        choices.reverse()
    body = turn.head("chat.completion") | {"choices": choices}
    usage = turn.usage()
    return body if usage is None else body | {"usage": usage}


def _choice(turn: Turn, choice: Choice) -> Json:
    text = "".join(piece.text for piece in choice.content)
    message: Json = {} if turn.has("no_role") else {"role": "assistant"}
    message |= {"content": None if choice.calls else text} | turn.dialect.message_constants
    if choice.reasoning:
        message[turn.dialect.reasoning_key] = "".join(piece.text for piece in choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [_call(turn, call) for call in choice.calls]
    shaped: Json = {"index": choice.index, "message": message, "finish_reason": choice.finish}
    if turn.dialect.native_finish:
        shaped["native_finish_reason"] = choice.finish
    if turn.top_logprobs is not None:
        entries = [turn.logprobs(piece.text)["content"][0] for piece in choice.content]
        shaped["logprobs"] = {"content": entries, "refusal": None}
    return shaped


def _call(turn: Turn, call: Call) -> Json:
    arguments = msgspec.json.decode(call.arguments) if turn.has("object_arguments") else call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
