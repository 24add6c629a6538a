"""The one internal shape of a chat answer in motion; adapters produce it, every surface's writer consumes it."""

from __future__ import annotations

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts the OpenAI way: cached and written are inside `prompt`, reasoning is inside `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0


class ToolDelta(msgspec.Struct, gc=False):
    """A fragment of one call: `index` is ours (0..n-1 per choice); `id` and `name` come once, in the first fragment."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


class Delta(msgspec.Struct, gc=False):
    """What one choice gained. Role and finish reason are not here: the writer opens and closes each choice."""

    choice: int = 0
    content: str | None = None
    reasoning: str | None = None
    tools: list[ToolDelta] | None = None
    refusal: str | None = None
    #: `{"content": [...] | None, "refusal": [...] | None}`.
    logprobs: Any = None
    #: The stop sequence that the upstream says it met, "" when it does not say which; comes with the finish.
    stopped_by: str | None = None
    #: `annotations`, `audio`, `reasoning_details`, ...: passed through untouched (compat.md C17).
    extras: dict[str, Any] | None = None
    #: The same for keys beside `choices`: `service_tier`, `moderation`, `obfuscation`.
    top: dict[str, Any] | None = None
