"""Turns of Anthropic content blocks as chat messages: results before words, images as parts, thinking to its maker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.core.messages_fields import (
    Base64Source,
    Block,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SystemBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
)

Json = dict[str, Any]
ANTHROPIC: Final = "anthropic/"
#: Begins the signature that we give to the thinking of models which sign nothing; the model's id follows.
OURS: Final = "cm:"
#: How OpenRouter names the form of Anthropic's own blocks.
DETAIL_FORMAT: Final = "anthropic-claude-v1"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that a request means: its catalog id, or the id that is passed through."""

    id: str
    #: A slash id of the frontier upstream.
    frontier: bool

    @property
    def signs(self) -> bool:
        """Its provider signs thinking and wants it back unchanged (compat.md M5)."""
        return self.frontier and self.id.startswith(ANTHROPIC)

    @property
    def signature(self) -> str:
        """What we put where a provider's signature would be."""
        return OURS + self.id


def chat_messages(system: str | Sequence[SystemBlock] | None, turns: Iterable[Turn], model: Asked) -> list[Json]:
    """The whole conversation; which thinking goes back depends on `model`."""
    messages: list[Json] = []
    if system:
        said = system if isinstance(system, str) else "\n".join(block.text for block in system)
        messages.append({"role": "system", "content": said})
    for turn in turns:
        content = turn.content
        if isinstance(content, str):
            messages.append({"role": turn.role, "content": content})
        elif turn.role == "assistant":
            messages.append(_assistant(content, model))
        elif turn.role == "user":
            messages += _user(content)
        else:
            messages.append({"role": "system", "content": _joined(content)})
    return messages


def has_images(turns: Iterable[Turn]) -> bool:
    """Inside tool results, too (spec.md section 5.6)."""
    return any(_has_image(turn.content) for turn in turns if not isinstance(turn.content, str))


def _has_image(blocks: Sequence[Block]) -> bool:
    return any(
        isinstance(block, ImageBlock)
        or (isinstance(block, ToolResultBlock) and isinstance(block.content, list) and _has_image(block.content))
        for block in blocks
    )


def _user(blocks: Sequence[Block]) -> list[Json]:
    """Tool results each as a message of their own, first; their images with the words, where chat takes images."""
    messages: list[Json] = []
    parts: list[Json] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            messages.append(_tool_result(block))
            parts += _result_images(block)
    parts += [_part(block) for block in blocks if not isinstance(block, ToolResultBlock)]
    if parts or not messages:
        messages.append({"role": "user", "content": _plain(parts)})
    return messages


def _tool_result(block: ToolResultBlock) -> Json:
    content = block.content or ""
    if not isinstance(content, str):
        content = "\n".join(_text(inner) for inner in content if not isinstance(inner, ImageBlock))
    if block.is_error:
        content = f"Error: {content}"
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _result_images(block: ToolResultBlock) -> list[Json]:
    content = block.content
    images = [inner for inner in content or () if isinstance(inner, ImageBlock)] if isinstance(content, list) else []
    if not images:
        return []
    return [{"type": "text", "text": f"Images of tool result {block.tool_use_id}:"}, *map(_part, images)]


def _part(block: Block) -> Json:
    if isinstance(block, ImageBlock):
        source = block.source
        url = f"data:{source.media_type};base64,{source.data}" if isinstance(source, Base64Source) else source.url
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": _text(block)}


def _text(block: Block) -> str:
    if isinstance(block, DocumentBlock):
        title = f"<title>{block.title}</title>\n" if block.title else ""
        context = f"<context>{block.context}</context>\n" if block.context else ""
        return f"<document>\n{title}{context}{block.source.data}\n</document>"
    return block.text if isinstance(block, TextBlock) else ""


def _plain(parts: list[Json]) -> str | list[Json]:
    """One text alone is a string, which every server takes."""
    if not parts:
        return ""
    text: str = parts[0].get("text", "")
    return text if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _assistant(blocks: Sequence[Block], model: Asked) -> Json:
    text = [block for block in blocks if isinstance(block, TextBlock)]
    calls = [_call(block) for block in blocks if isinstance(block, ToolUseBlock)]
    message: Json = {"role": "assistant", "content": None if calls and not text else _joined(text)}
    if calls:
        message["tool_calls"] = calls
    return message | _thought(blocks, model)


def _thought(blocks: Sequence[Block], model: Asked) -> Json:
    """The thinking that this model's provider made: signed blocks byte-equal, other text in the field it came in."""
    if model.signs:
        details = [_detail(block) for block in blocks]
        kept = [detail | {"index": index} for index, detail in enumerate(filter(None, details))]
        return {"reasoning_details": kept} if kept else {}
    own = [b.thinking for b in blocks if isinstance(b, ThinkingBlock) and b.signature == model.signature and b.thinking]
    return {"reasoning" if model.frontier else "reasoning_content": "".join(own)} if own else {}


def _detail(block: Block) -> Json | None:
    match block:
        case ThinkingBlock(thinking=text, signature=signature) if signature and not signature.startswith(OURS):
            return {"type": "reasoning.text", "text": text, "signature": signature, "format": DETAIL_FORMAT}
        case RedactedThinkingBlock(data=data):
            return {"type": "reasoning.encrypted", "data": data, "format": DETAIL_FORMAT}
    return None


def _call(block: ToolUseBlock) -> Json:
    function = {"name": block.name, "arguments": _encode(block.input).decode()}
    return {"id": block.id, "type": "function", "function": function}


def _joined(text: str | Iterable[Block]) -> str:
    return text if isinstance(text, str) else "\n".join(map(_text, text))
