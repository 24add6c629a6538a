"""The rules inside a Messages prompt, each a 400 that names one field (spec.md section 9.2)."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import Problem
from app.core.messages_fields import (
    SAYS,
    AnyChoice,
    Block,
    ImageBlock,
    PromptFields,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)


def check_prompt(fields: PromptFields) -> None:
    """Raises the `Problem` of the first rule that the prompt breaks."""
    _check_tools(fields)
    for index, turn in enumerate(fields.messages):
        if not isinstance(turn.content, str):
            _check_blocks(f"messages[{index}]", turn.role, turn.content)


def _check_tools(fields: PromptFields) -> None:
    first: dict[str, int] = {}
    for index, tool in enumerate(fields.tools or ()):
        if tool.type not in (None, "custom"):
            param = f"tools[{index}].type"
            text = f"{param} must be custom or left out: only tools that you run yourself can be used here."
            raise Problem("unsupported_tool_type", text, param)
        if tool.input_schema is None:
            param = f"tools[{index}].input_schema"
            raise Problem("missing_required_parameter", f"{param} is required: send a JSON schema.", param)
        if (earlier := first.setdefault(tool.name, index)) != index:
            param = f"tools[{index}].name"
            raise Problem("invalid_value", f"{param} repeats tools[{earlier}]: give each tool its own name.", param)
    choice = fields.tool_choice
    if isinstance(choice, ToolChoice) and choice.name not in first:
        raise _wrong("tool_choice.name", "is not in tools: send the name of one of them.")
    if isinstance(choice, AnyChoice) and not first:
        raise _wrong("tool_choice", "needs tools: send tools or leave tool_choice out.")


def _check_blocks(turn: str, role: str, blocks: Sequence[Block]) -> None:
    calls: set[str] = set()
    for number, block in enumerate(blocks):
        at = f"{turn}.content[{number}]"
        if not isinstance(block, SAYS[role]):
            raise _wrong(f"{at}.type", f"does not belong in a turn of role {role}.")
        if isinstance(block, ToolUseBlock):
            if block.id in calls:
                raise Problem("invalid_value", f"{at}.id is used twice: give each tool use its own id.", f"{at}.id")
            calls.add(block.id)
        elif isinstance(block, ImageBlock):
            _check_image(at, block)
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            for inner, part in enumerate(block.content):
                if isinstance(part, ImageBlock):
                    _check_image(f"{at}.content[{inner}]", part)


def _check_image(at: str, image: ImageBlock) -> None:
    source = image.source
    if isinstance(source, UrlSource) and not source.url[:8].lower().startswith("https://"):
        raise Problem("invalid_value", f"{at}.source.url must be an https:// URL.", f"{at}.source.url")


def _wrong(param: str, why: str) -> Problem:
    return Problem("invalid_request_error", f"{param} {why}", param)
