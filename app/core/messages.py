"""A Messages request: parsed, checked, and as the chat request that answers it (spec.md section 9.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from app.core.chat import IGNORED_MAX, IGNORED_NAME_MAX, ChatRequest
from app.core.chat_fields import ChatFields, Reasoning
from app.core.decode import convert, decode_object
from app.core.errors import Problem
from app.core.messages_content import Asked, chat_messages, has_images
from app.core.messages_fields import (
    KNOWN_FIELDS,
    AnyChoice,
    MessagesFields,
    MessagesTool,
    NoChoice,
    PromptFields,
    ThinkingOff,
    ThinkingOn,
    ToolChoice,
)
from app.core.messages_rules import check_prompt

Json = dict[str, Any]
#: Budgets of thinking below these are this effort, where an effort is all that can be said.
EFFORT_OF_BUDGET: Final = ((4096, "low"), (16384, "medium"))
#: Anthropic's default of `output_config.effort`.
ADAPTIVE_EFFORT: Final = "high"
ABOVE_HIGH: Final = frozenset({"xhigh", "max"})


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """What the client asked for; `ignored` are the fields without effect, for the receipt."""

    fields: MessagesFields
    ignored: tuple[str, ...]
    body_bytes: int

    @property
    def thinks(self) -> bool:
        """Whether thinking may be shown: only where it was asked for (spec.md section 9.3)."""
        return self.fields.thinking is not None and not isinstance(self.fields.thinking, ThinkingOff)


def parse_messages(body: bytes) -> MessagesRequest:
    """The request in `body`; raises `Problem` 400 that names the field and says what to send."""
    raw = decode_object(body)
    fields = convert(raw, MessagesFields)
    check_prompt(fields)
    thinking = fields.thinking
    if isinstance(thinking, ThinkingOn) and thinking.budget_tokens >= fields.max_tokens:
        param = "thinking.budget_tokens"
        raise Problem("invalid_request_error", f"{param} must be less than max_tokens: raise max_tokens.", param)
    unknown = [name[:IGNORED_NAME_MAX] for name in raw if name not in KNOWN_FIELDS] if raw.keys() - KNOWN_FIELDS else ()
    return MessagesRequest(fields, tuple(unknown[:IGNORED_MAX]), len(body))


def parse_count(body: bytes) -> tuple[PromptFields, int]:
    """The prompt of a `count_tokens` request and the size of its body. Raises as `parse_messages`."""
    fields = convert(decode_object(body), PromptFields)
    check_prompt(fields)
    return fields, len(body)


def chat_request(asked: MessagesRequest, model: Asked) -> ChatRequest:
    """What to ask of `model` in chat's words; a request that `parse_messages` let through needs no second check."""
    fields = asked.fields
    prompt = prompt_request(fields, model, asked.body_bytes)
    raw = prompt.raw | {"max_tokens": fields.max_tokens}
    tuned = {
        "stream": fields.stream or None,
        "temperature": fields.temperature,
        "top_p": fields.top_p,
        "top_k": fields.top_k,
        "stop": fields.stop_sequences or None,
        "user": fields.metadata.user_id if fields.metadata else None,
    }
    raw |= {name: value for name, value in tuned.items() if value is not None}
    stream = bool(fields.stream)
    return structs.replace(prompt, raw=raw, ignored=asked.ignored, stream=stream, max_tokens=fields.max_tokens)


def prompt_request(fields: PromptFields, model: Asked, body_bytes: int) -> ChatRequest:
    """The prompt alone as a chat request: all that counting its tokens needs."""
    raw: Json = {"model": fields.model, "messages": chat_messages(fields.system, fields.messages, model)}
    if fields.tools:
        raw["tools"] = [_function(tool) for tool in fields.tools]
    raw |= _choice(fields)
    effort, budget = _effort(fields, frontier=model.frontier)
    if budget is not None:
        raw["reasoning"] = {"effort": effort, "max_tokens": budget}
    elif effort is not None:
        raw["reasoning_effort"] = effort
    form = fields.output_config.format if fields.output_config else None
    if form is not None:
        schema = {"name": "output", "schema": form.schema, "strict": True}
        raw["response_format"] = {"type": "json_schema", "json_schema": schema}
    reasoning = None if budget is None else Reasoning(effort=effort, max_tokens=budget)
    return ChatRequest(
        raw=raw,
        fields=ChatFields(messages=[], model=fields.model, reasoning_effort=effort, reasoning=reasoning),
        ignored=(),
        stream=False,
        include_usage=False,
        n=1,
        max_tokens=None,
        has_images=has_images(fields.messages),
        fallbacks=(),
        response_format=raw.get("response_format"),
        plugins=(),
        provider=None,
        body_bytes=body_bytes,
    )


def _function(tool: MessagesTool) -> Json:
    function: Json = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(fields: PromptFields) -> Json:
    choice = fields.tool_choice
    if choice is None or not fields.tools:
        return {}
    if isinstance(choice, NoChoice):
        return {"tool_choice": "none"}
    said: Json = (
        {}
        if choice.disable_parallel_tool_use is None
        else {"parallel_tool_calls": not choice.disable_parallel_tool_use}
    )
    if isinstance(choice, ToolChoice):
        return said | {"tool_choice": {"type": "function", "function": {"name": choice.name}}}
    return said | {"tool_choice": "required" if isinstance(choice, AnyChoice) else "auto"}


def _effort(fields: PromptFields, *, frontier: bool) -> tuple[str | None, int | None]:
    """Effort and budget of thinking; bare ids know no level above high (spec.md section 9.2)."""
    effort: str | None = fields.output_config.effort if fields.output_config else None
    if effort in ABOVE_HIGH and not frontier:
        effort = "high"
    match fields.thinking:
        case None:
            return effort, None
        case ThinkingOff():
            return "none", None
        case ThinkingOn(budget_tokens=budget):
            by_budget = next((level for limit, level in EFFORT_OF_BUDGET if budget < limit), "high")
            return effort or by_budget, budget
    return effort or ADAPTIVE_EFFORT, None
