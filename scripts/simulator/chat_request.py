"""The body of a chat request as the simulator reads it: typed where it acts on it, untouched elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct, kw_only=True):
    """Any dialect's chat request. Fields that are not here are accepted and ignored."""

    model: str
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    reasoning_effort: str | None = None
    reasoning: dict[str, Any] | None = None

    @property
    def limit(self) -> int | None:
        """Completion tokens asked for, at most."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def usage_asked(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def reasons(self) -> bool:
        """Whether reasoning was asked for, by effort or by OpenRouter's object."""
        wanted = self.reasoning or {}
        effort = self.reasoning_effort or wanted.get("effort")
        return effort not in {None, "none"} or bool(wanted.get("max_tokens") or wanted.get("enabled"))

    @property
    def last_user_text(self) -> str:
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return _text(message.get("content"))
        return ""

    @property
    def tool_answered(self) -> bool:
        """Whether a tool's result stands after the last user message: the turn wants words then, not another call."""
        roles = [message.get("role") for message in self.messages]
        return "tool" in roles[len(roles) - roles[::-1].index("user") :] if "user" in roles else False


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""
