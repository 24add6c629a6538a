"""A request for a response: parsed, as the chat request that answers it, and what its object echoes (spec.md 7)."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from app.core.chat import IGNORED_MAX, IGNORED_NAME_MAX, ChatRequest, read_chat
from app.core.chat_fields import Wire
from app.core.decode import convert, decode_object
from app.core.errors import Problem
from app.core.responses_fields import KNOWN_FIELDS, ResponseFields
from app.core.responses_items import Items, as_items, check_images, messages_of

#: Larger requests are answered but not stored: their object says `store` false.
STORED_MAX_BYTES: Final = 2 * 1024 * 1024
#: Fields with the same name and meaning in a chat request.
SAME: Final = (
    *("model", "temperature", "top_p", "presence_penalty", "frequency_penalty", "parallel_tool_calls", "user"),
    *("prompt_cache_key", "provider", "models", "route", "plugins", "transforms", "stream"),
)
#: Known fields that change nothing here: what they ask for is not done, or is done anyway.
WITHOUT_EFFECT: Final = ("truncation", "max_tool_calls", "safety_identifier", "service_tier")
#: They shape the answer in a way that is not offered.
UNSUPPORTED: Final = {
    "background": "Background responses are not supported: leave `background` out and use `stream` instead.",
    "conversation": "Conversations are not supported: use `previous_response_id`, or send the items yourself.",
    "prompt": "Prompt templates are not supported: send `instructions` and `input`.",
}
LOGPROBS: Final = "message.output_text.logprobs"
#: Our own names for what the chat engine says about a field.
_PARAMS: Final = (
    (re.compile(r"\btools\[(\d+)\]\.function\b"), r"tools[\1]"),
    (re.compile(r"\btool_choice\.function\b"), "tool_choice"),
    (re.compile(r"\bresponse_format(\.json_schema)?\b"), "text.format"),
    (re.compile(r"\breasoning_effort\b"), "reasoning.effort"),
    (re.compile(r"\bmax_(completion_)?tokens\b"), "max_output_tokens"),
    (re.compile(r"\bmessages\b"), "input"),
)
_MESSAGE: Final = re.compile(r"\bmessages\[\d+\](\.[\w.\[\]]*)?")


class ResponseRequest(Wire, frozen=True):
    """What the client asked for; `items` is its input with a type on each item."""

    raw: dict[str, Any]
    fields: ResponseFields
    items: Items
    ignored: tuple[str, ...]
    body_bytes: int

    @property
    def store(self) -> bool:
        return self.fields.store is not False and self.body_bytes <= STORED_MAX_BYTES

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.fields.top_logprobs) or LOGPROBS in (self.fields.include or ())


def parse_response(body: bytes) -> ResponseRequest:
    """The request in `body`; raises `Problem` 400 that names the field and says what to send."""
    raw = decode_object(body)
    _check_tool_types(raw.get("tools"))
    given = raw.get("input")
    typed = {**raw, "input": as_items(given)} if isinstance(given, str | list) else raw
    fields = convert(typed, ResponseFields)
    for name, message in UNSUPPORTED.items():
        if getattr(fields, name):
            raise Problem("unsupported_parameter", message, name)
    items: Items = typed["input"] if given is not None else []
    if not items and fields.previous_response_id is None:
        raise Problem("missing_required_parameter", "input is required: send a string or an array of items.", "input")
    check_images(items)
    unknown = [name[:IGNORED_NAME_MAX] for name in raw if name not in KNOWN_FIELDS][:IGNORED_MAX]
    unused = [name for name in WITHOUT_EFFECT if getattr(fields, name) is not None]
    return ResponseRequest(raw, fields, items, (*unknown, *unused), len(body))


def chat_of(request: ResponseRequest, history: Items) -> ChatRequest:
    """The chat request that answers it after `history`. Raises `Problem` 400 in the words of this surface."""
    raw, fields = request.raw, request.fields
    items = [*history, *request.items]
    messages = messages_of(items, fields.model)
    if fields.instructions is not None:
        messages.insert(0, {"role": "system", "content": fields.instructions})
    body = {name: raw[name] for name in SAME if raw.get(name) is not None} | {"messages": messages}
    if fields.max_output_tokens is not None:
        body["max_tokens"] = fields.max_output_tokens
    if fields.reasoning is not None and fields.reasoning.effort is not None:
        body["reasoning_effort"] = fields.reasoning.effort
    if fields.tools:
        body["tools"] = [{"type": "function", "function": _function(tool)} for tool in raw["tools"]]
    choice = raw.get("tool_choice")
    if choice is not None:
        named = isinstance(choice, dict)
        body["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if named else choice
    if form := _response_format(raw):
        body["response_format"] = form
    if request.wants_logprobs:
        body |= {"logprobs": True, "top_logprobs": fields.top_logprobs or 0}
    try:
        chat = read_chat(body, None if history else request.body_bytes)
    except Problem as problem:
        raise in_our_words(problem) from None
    return msgspec.structs.replace(chat, ignored=(*request.ignored, *chat.ignored))


def echo(request: ResponseRequest) -> dict[str, Any]:
    """What the response object repeats of the request, every key of object R that does not depend on the answer."""
    raw, fields = request.raw, request.fields
    reasoning, text = fields.reasoning, raw.get("text") or {}
    return {
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": fields.max_tool_calls,
        "metadata": fields.metadata or {},
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "previous_response_id": fields.previous_response_id,
        "prompt_cache_key": fields.prompt_cache_key,
        "reasoning": {"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        "safety_identifier": fields.safety_identifier,
        "store": request.store,
        "temperature": 1.0 if fields.temperature is None else fields.temperature,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": raw.get("tool_choice") or "auto",
        "tools": [_NO_TOOL | tool for tool in raw.get("tools") or ()],
        "top_logprobs": fields.top_logprobs or 0,
        "top_p": 1.0 if fields.top_p is None else fields.top_p,
        "presence_penalty": fields.presence_penalty or 0.0,
        "frequency_penalty": fields.frequency_penalty or 0.0,
        "truncation": fields.truncation or "disabled",
        "user": fields.user,
    }


#: Keys that are there although the client did not send them (R11).
_NO_TOOL: Final = {"type": "function", "name": "", "description": None, "parameters": None, "strict": None}


def in_our_words(problem: Problem) -> Problem:
    """A problem of the chat engine with the names that this surface's fields have."""
    problem.message = _MESSAGE.sub("input", problem.message)
    param = None if problem.param is None else _MESSAGE.sub("input", problem.param)
    for pattern, name in _PARAMS:
        param = None if param is None else pattern.sub(name, param)
        problem.message = pattern.sub(name, problem.message)
    problem.param = param
    return problem


def _check_tool_types(tools: Any) -> None:
    for place, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "function":
            param = f"tools[{place}].type"
            raise Problem("unsupported_tool_type", f'{param} must be "function": other tools are not offered.', param)


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    named = ("name", "description", "parameters", "strict")
    return {name: tool[name] for name in named if tool.get(name) is not None}


def _response_format(raw: dict[str, Any]) -> dict[str, Any] | None:
    form = (raw.get("text") or {}).get("format")
    if form is None or form["type"] == "text":
        return None
    if form["type"] == "json_object":
        return {"type": "json_object"}
    schema = {name: form[name] for name in ("name", "description", "schema", "strict") if form.get(name) is not None}
    return {"type": "json_schema", "json_schema": schema}
