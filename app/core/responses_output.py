"""The output items of a response while they grow, and what each of them is as an object at any moment.

Source: compat.md section 3, R6 to R11. Ids are made from the response's own, so that they are the same however the
answer is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from app.core.responses_thoughts import wrapped

Status = Literal["in_progress", "completed", "incomplete"]
PREFIX: Final = "resp_"


def item_id(kind: str, response_id: str, place: int | str) -> str:
    """The id of one item of a response."""
    return f"{kind}_{response_id.removeprefix(PREFIX)}_{place}"


class Part:
    """One part of a message: text with its citations, or a refusal."""

    __slots__ = ("annotations", "kind", "logprobs", "pieces")

    def __init__(self, kind: Literal["output_text", "refusal"]) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def view(self) -> dict[str, Any]:
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": self.text}
        return {"type": self.kind, "text": self.text, "annotations": self.annotations, "logprobs": self.logprobs}


class Message:
    """What the model says; only its last part can be open."""

    kind: Final = "msg"
    __slots__ = ("id", "index", "open", "part_open", "parts")

    def __init__(self, response_id: str, index: int) -> None:
        self.id = item_id(self.kind, response_id, index)
        self.index = index
        self.open = True
        self.parts: list[Part] = []
        self.part_open = False

    def view(self, status: Status) -> dict[str, Any]:
        content = [part.view() for part in self.parts]
        return {"id": self.id, "type": "message", "role": "assistant", "status": status, "content": content}


class Reasoning:
    """What the model thinks, as raw text: no provider of ours sends summaries. `model` is the one that thinks."""

    kind: Final = "rs"
    __slots__ = ("details", "id", "index", "model", "open", "pieces")

    def __init__(self, response_id: str, index: int, model: str) -> None:
        self.id = item_id(self.kind, response_id, index)
        self.index = index
        self.model = model
        self.open = True
        self.pieces: list[str] = []
        self.details: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def view(self, status: Status) -> dict[str, Any]:
        content = [{"type": "reasoning_text", "text": self.text}] if self.pieces else []
        body = {"id": self.id, "type": "reasoning", "status": status, "summary": [], "content": content}
        return body if status == "in_progress" else body | {"encrypted_content": wrapped(self.model, self.details)}


class FunctionCall:
    """A call that the model asks for."""

    kind: Final = "fc"
    __slots__ = ("call_id", "id", "index", "name", "open", "pieces")

    def __init__(self, response_id: str, index: int, call_id: str, name: str) -> None:
        self.id = item_id(self.kind, response_id, index)
        self.index = index
        self.call_id = call_id
        self.name = name
        self.open = True
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Nothing can be added to its arguments any more."""
        if not self.pieces or not self.pieces[-1].rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, RecursionError):
            return False

    def view(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }


Item = Message | Reasoning | FunctionCall


def views(items: Sequence[Item], still_open: Status) -> list[dict[str, Any]]:
    """Every item as it is; those that are open have the status `still_open`."""
    return [item.view(still_open if item.open else "completed") for item in items]


def annotation(raw: Any) -> dict[str, Any] | None:
    """A citation of a chat answer in the form of this surface; None for what is not one."""
    if not isinstance(raw, dict) or raw.get("type") != "url_citation" or not isinstance(raw.get("url_citation"), dict):
        return None
    cited = raw["url_citation"]
    return {
        "type": "url_citation",
        "start_index": cited.get("start_index") or 0,
        "end_index": cited.get("end_index") or 0,
        "title": cited.get("title") or "",
        "url": cited.get("url") or "",
    }


def logprob(entry: dict[str, Any]) -> dict[str, Any]:
    """A chat logprob with the lists that this surface wants to be there."""
    top = [{**each, "bytes": each.get("bytes") or []} for each in entry.get("top_logprobs") or ()]
    return {**entry, "bytes": entry.get("bytes") or [], "top_logprobs": top}
