"""What one upstream's chat format is made of; everything a shaper needs to know to speak it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from scripts.simulator.triggers import Refusal

JsonObject = dict[str, Any]


class ErrorRow(NamedTuple):
    """One error of the dialect: HTTP status, its own code and words, and whatever else its envelope carries."""

    status: int
    code: str | int
    message: str
    more: Mapping[str, Any] = {}


class Tokens(NamedTuple):
    """The counts behind a usage object."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


def openai_usage(tokens: Tokens) -> JsonObject:
    """The OpenAI usage object: cached inside prompt, reasoning inside completion."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One upstream's chat format.

    `key_header` None means that no key is asked for. `fields` None means that unknown request fields are ignored.
    `usage_at`: a last chunk without choices, always or when asked for; or on the chunk with the finish reason.
    """

    name: str
    id_prefix: str
    key_header: str | None
    reasoning_key: Literal["reasoning", "reasoning_content"]
    usage_at: Literal["apart", "apart_when_asked", "with_finish"]
    errors: Mapping[Refusal, ErrorRow]
    envelope: Callable[[ErrorRow], JsonObject]
    usage: Callable[[Tokens], JsonObject] = openai_usage
    #: The in-band error of a stream, made from the envelope and a chunk without choices.
    stream_error: Callable[[ErrorRow, JsonObject], JsonObject]
    done_after_error: bool = False
    fields: frozenset[str] | None = None
    preamble: bytes = b""
    id_header: str | None = None
    #: Constant keys of every chunk and body, of every choice with its finish reason, and of a whole message.
    constants: JsonObject = field(default_factory=dict)
    native_finish: bool = False
    message_constants: JsonObject = field(default_factory=dict)
    #: Chunks that carry no usage say `usage: null`: always, or only when usage was asked for.
    null_usage: Literal["never", "when_asked", "always"] = "never"

    def refuse(self, kind: Refusal, message: str | None = None) -> tuple[int, JsonObject]:
        """Status and body of an error, with other words if given."""
        row = self.errors[kind]
        return row.status, self.envelope(row if message is None else row._replace(message=message))

    def credited(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries a credential at all; any value will do."""
        return self.key_header is None or bool(headers.get(self.key_header, "").removeprefix("Bearer").strip())
