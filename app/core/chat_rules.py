"""The rules between the fields of a chat request, each a 400 that names one field (spec.md sections 4.2, 5.1, 5.6)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from app.core.chat_fields import ChatFields, FunctionSpec, ImagePart, Message, NamedTool, Part, ToolCall
from app.core.errors import Problem

#: An assistant message with one of these says something although its content is null or absent.
INSTEAD_OF_CONTENT: Final = ("tool_calls", "refusal", "audio", "reasoning_content", "reasoning_details")


def check(fields: ChatFields, raw: dict[str, Any]) -> None:
    """Raises the `Problem` of the first rule that the request breaks."""
    _check_options(fields)
    if fields.tools:
        _check_tool_names([tool.function for tool in fields.tools])
    if fields.tool_choice is not None:
        _check_tool_choice(fields)
    for index, message in enumerate(fields.messages):
        _check_message(index, message, raw["messages"][index])


def _conflict(param: str, message: str) -> Problem:
    return Problem("invalid_request_error", message, param)


def _check_options(fields: ChatFields) -> None:
    if fields.stream_options is not None and not fields.stream:
        raise _conflict("stream_options", "stream_options needs stream: send stream true or leave stream_options out.")
    if fields.top_logprobs is not None and not fields.logprobs:
        raise _conflict("top_logprobs", "top_logprobs needs logprobs: send logprobs true or leave top_logprobs out.")
    form = fields.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is None:
        message = "response_format.json_schema is required with type json_schema: send an object with name and schema."
        raise Problem("missing_required_parameter", message, "response_format.json_schema")
    if fields.structured_outputs and (form is None or form.type != "json_schema"):
        message = "structured_outputs needs a schema: send response_format with type json_schema, or leave it out."
        raise _conflict("structured_outputs", message)


def _check_tool_names(functions: list[FunctionSpec]) -> None:
    first: dict[str, int] = {}
    for index, function in enumerate(functions):
        earlier = first.setdefault(function.name, index)
        if earlier != index:
            param = f"tools[{index}].function.name"
            raise Problem("invalid_value", f"{param} repeats tools[{earlier}]: give each function its own name.", param)


def _check_tool_choice(fields: ChatFields) -> None:
    choice, tools = fields.tool_choice, fields.tools or []
    if isinstance(choice, NamedTool):
        if all(tool.function.name != choice.function.name for tool in tools):
            param = "tool_choice.function.name"
            raise _conflict(param, f"{param} is not in tools: send the name of one of them.")
    elif choice == "required" and not tools:
        raise _conflict("tool_choice", "tool_choice needs tools: send tools or leave tool_choice out.")


def _check_message(index: int, message: Message, raw: dict[str, Any]) -> None:
    content = message.content
    if isinstance(content, list):
        _check_images(index, content)
    elif content is None or content is UNSET:
        _check_no_content(f"messages[{index}].content", message, raw)
    if message.tool_calls:
        _check_call_ids(index, message.tool_calls)
    if message.role == "tool" and not message.tool_call_id:
        param = f"messages[{index}].tool_call_id"
        text = f"{param} is required with role tool: send the id of the tool call that it answers."
        raise Problem("missing_required_parameter", text, param)


def _check_no_content(param: str, message: Message, raw: dict[str, Any]) -> None:
    if message.role == "assistant":
        if any(raw.get(key) for key in INSTEAD_OF_CONTENT):
            return
        wanted = "send a string, an array of parts, or tool_calls."
    else:
        wanted = 'send a string (it may be "") or an array of parts.'
    if message.content is None:
        raise Problem("invalid_type", f"{param} must not be null here: {wanted}", param)
    raise Problem("missing_required_parameter", f"{param} is required: {wanted}", param)


def _check_images(index: int, parts: list[Part]) -> None:
    for number, part in enumerate(parts):
        if isinstance(part, ImagePart) and not part.image_url.url[:8].lower().startswith(("https://", "data:")):
            param = f"messages[{index}].content[{number}].image_url.url"
            raise Problem("invalid_value", f"{param} must be an https:// or a data: URL.", param)


def _check_call_ids(index: int, calls: list[ToolCall]) -> None:
    first: dict[str, int] = {}
    for number, call in enumerate(calls):
        earlier = first.setdefault(call.id, number)
        if earlier != number:
            param = f"messages[{index}].tool_calls[{number}].id"
            raise Problem("invalid_value", f"{param} repeats tool_calls[{earlier}]: give each call its own id.", param)
