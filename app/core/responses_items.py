"""Response items as chat messages, and as what is stored of them (spec.md section 7, compat.md R8, R9, R17)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.errors import Problem
from app.core.responses_output import item_id
from app.core.responses_thoughts import unwrapped

Items = list[dict[str, Any]]
#: Longer ids of calls are refused by some providers (ungate#26).
LONGEST_CALL_ID: Final = 64
KINDS: Final = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def as_items(given: str | list[Any]) -> Items:
    """The request's `input` as items with a type: a string is one message of the user's."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [{"type": "message", **item} if isinstance(item, dict) and "type" not in item else item for item in given]


def messages_of(items: Iterable[Mapping[str, Any]], model: str | None = None) -> list[dict[str, Any]]:
    """The items as chat messages. What an assistant thought, said and called in one turn becomes one message.

    Thoughts go back to `model` only if they are its own.
    """
    messages: list[dict[str, Any]] = []
    for item in items:
        match item["type"]:
            case "message":
                _add_message(messages, item)
            case "function_call":
                _turn(messages).setdefault("tool_calls", []).append(
                    {
                        "id": short_call_id(item["call_id"]),
                        "type": "function",
                        "function": {"name": item["name"], "arguments": item["arguments"]},
                    }
                )
            case "reasoning":
                if thoughts := unwrapped(item.get("encrypted_content"), model):
                    messages.append({"role": "assistant", "content": None, "reasoning_details": thoughts})
            case "function_call_output":
                content = _content(item["output"])
                messages.append({"role": "tool", "tool_call_id": short_call_id(item["call_id"]), "content": content})
    return messages


def short_call_id(call_id: str) -> str:
    """`call_id`, or a short name that stands for it on the way to a provider; the client keeps its own (R8)."""
    if len(call_id) <= LONGEST_CALL_ID:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def check_images(items: Items) -> None:
    """Raises `Problem` 400 for an image that is neither an https nor a data URL; the items have their types."""
    for number, item in enumerate(items):
        name = "output" if item["type"] == "function_call_output" else "content"
        parts = item.get(name)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if part["type"] == "input_image" and not part["image_url"][:8].lower().startswith(("https://", "data:")):
                param = f"input[{number}].{name}[{place}].image_url"
                raise Problem("invalid_value", f"{param} must be an https:// or a data: URL.", param)


def stored_items(items: Items, response_id: str) -> Items:
    """The items as `/input_items` lists them: each with an id and a status, text as parts."""
    return [_stored(item, response_id, place) for place, item in enumerate(items)]


def _stored(item: dict[str, Any], response_id: str, place: int) -> dict[str, Any]:
    given = item.get("id")
    own = given if isinstance(given, str) and given else item_id(KINDS[item["type"]], response_id, f"in{place}")
    stored = {**item, "id": own, "status": item.get("status") or "completed"}
    content = item.get("content")
    if item["type"] == "message" and isinstance(content, str):
        if item["role"] == "assistant":
            stored["content"] = [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
        else:
            stored["content"] = [{"type": "input_text", "text": content}]
    return stored


def _add_message(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    role, content = item["role"], item["content"]
    if role != "assistant":
        messages.append({"role": role, "content": _content(content)})
        return
    text, refusal = (content, "") if isinstance(content, str) else _said(content)
    last = messages[-1] if messages else {}
    message = last if last.get("role") == "assistant" and last.get("content") is None else None
    if message is None:
        message = {"role": "assistant"}
        messages.append(message)
    message["content"] = text if text or not refusal else None
    if refusal:
        message["refusal"] = refusal


def _turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that a call belongs to: the last one, or a new one without text."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _said(parts: list[Any]) -> tuple[str, str]:
    """What an assistant's message says, and what it refuses with."""
    text = "".join(part["text"] for part in parts if "text" in part)
    return text, "".join(part["refusal"] for part in parts if part["type"] == "refusal")


def _content(content: str | list[Any]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "input_image":
            detail = part.get("detail")
            return {
                "type": "image_url",
                "image_url": {"url": part["image_url"]} | ({"detail": detail} if detail else {}),
            }
        case "input_file":
            name = part.get("filename")
            return {"type": "file", "file": {"file_data": part["file_data"]} | ({"filename": name} if name else {})}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
    return {"type": "text", "text": part["text"]}
