"""Chunks of any OpenAI-like stream in, our deltas out; usage, finishes and the upstream's identity are kept aside."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from app.core.choices import ChoiceReader
from app.core.chunks import Malformed, StreamFault, WireChunk, fault, read_chunk, read_cost, read_usage
from app.core.deltas import Delta, Usage

__all__ = ["Malformed", "Normaliser", "StreamFault", "new_call_id"]


def new_call_id() -> str:
    """An id for a tool call that its upstream left without one."""
    return "call_" + secrets.token_hex(12)


class Normaliser:
    """One upstream answer. `feed` each payload, then `close` at `[DONE]` or at the end of the bytes.

    Finish reasons are held, never emitted: the settle comes before the terminal bytes (compat.md S16). `usage` is the
    newest on any chunk and `usage_final` says it came with or after the last finish; `cost` is the upstream's own
    figure in USD, for margin checks only. The upstream's `[DONE]` is not a payload: keep it out.
    """

    __slots__ = (
        "_choices",
        "_service_tier",
        "_text_seen",
        "_top",
        "cost",
        "upstream_id",
        "upstream_model",
        "upstream_provider",
        "usage",
        "usage_final",
    )

    def __init__(self, choices: int = 1, new_id: Callable[[], str] = new_call_id) -> None:
        self.usage: Usage | None = None
        self.usage_final = False
        self.cost: float | None = None
        self.upstream_id: str | None = None
        self.upstream_model: str | None = None
        self.upstream_provider: str | None = None
        self._choices = [ChoiceReader(new_id) for _ in range(choices)]
        self._text_seen = False
        self._service_tier: Any = None
        self._top: dict[str, Any] = {}

    @property
    def finishes(self) -> dict[int, str]:
        """Choice -> `stop`, `length`, `tool_calls` or `content_filter`, as far as known; right after `close`."""
        finishes = ((index, choice.finish) for index, choice in enumerate(self._choices))
        return {index: finish for index, finish in finishes if finish is not None}

    @property
    def finished(self) -> bool:
        """Every choice that appeared has its finish, and at least one did. An end without it is a failure (C12)."""
        seen = [choice for choice in self._choices if choice.seen]
        return bool(seen) and all(choice.finish is not None for choice in seen)

    @property
    def has_content(self) -> bool:
        """Something was generated: text, reasoning, a refusal, a tool call, audio or an image."""
        return self._text_seen or any(choice.has_output for choice in self._choices)

    def feed(self, payload: bytes) -> list[Delta]:
        """What one chunk adds; often one delta, or none. Raises Malformed and StreamFault."""
        chunk = read_chunk(payload)
        choices = chunk.choices
        if (
            choices is not None
            and len(choices) == 1
            and chunk.usage is None
            and self.upstream_id
            and self.upstream_model
        ):
            # The commonest chunk by far: one choice gained text and nothing else. It takes no further call.
            choice = choices[0]
            part = choice.delta
            if (
                part is not None
                and part.content
                and choice.index == 0
                and not (
                    part.reasoning
                    or part.reasoning_content
                    or part.tool_calls
                    or part.function_call
                    or part.refusal
                    or part.reasoning_details
                    or part.annotations
                    or part.audio
                    or part.images
                    or choice.finish_reason
                    or choice.logprobs
                    or choice.error
                    or chunk.error
                    or chunk.service_tier != self._service_tier
                    or chunk.moderation
                    or chunk.obfuscation
                    or self._top
                )
            ):
                self._choices[0].seen = True
                self._text_seen = True
                return [Delta(0, part.content)]
        return self._take(chunk)

    def from_message(self, body: bytes) -> list[Delta]:
        """A whole completion as if it had been streamed, `close` included. Raises Malformed and StreamFault."""
        chunk = read_chunk(body)
        for choice in chunk.choices or []:
            choice.delta = choice.message
        deltas = self._take(chunk)
        if not chunk.choices:
            raise Malformed("a completion without choices")
        return deltas + self.close()

    def close(self) -> list[Delta]:
        """The last fix-ups, see `ChoiceReader.close`; a second close adds nothing. Raises Malformed."""
        deltas = (choice.close(index) for index, choice in enumerate(self._choices))
        return [delta for delta in deltas if delta is not None]

    def _take(self, chunk: WireChunk) -> list[Delta]:
        if error := fault(chunk.error):
            raise StreamFault(error)
        self._identify(chunk)
        self._keep_top(chunk)
        deltas = []
        for choice in chunk.choices or []:
            index = choice.index if choice.index is not None else 0
            if 0 <= index < len(self._choices):
                delta = self._choices[index].add(index, choice)
                if delta is not None:
                    deltas.append(delta)
            if choice.usage is not None:
                self._keep_usage(choice.usage)
        if chunk.usage is not None:
            self._keep_usage(chunk.usage)
        if deltas and (self._top or chunk.obfuscation):
            deltas[0].top = self._top | ({"obfuscation": chunk.obfuscation} if chunk.obfuscation else {})
            self._top = {}
        return deltas

    def _identify(self, chunk: WireChunk) -> None:
        if not self.upstream_id and isinstance(chunk.id, str):
            self.upstream_id = chunk.id
        if not self.upstream_model and isinstance(chunk.model, str):
            self.upstream_model = chunk.model
        if not self.upstream_provider and isinstance(chunk.provider, str):
            self.upstream_provider = chunk.provider

    def _keep_top(self, chunk: WireChunk) -> None:
        """What stands beside `choices` waits for the next delta; the tier, said in every chunk, is passed once."""
        if chunk.service_tier and chunk.service_tier != self._service_tier:
            self._service_tier = self._top["service_tier"] = chunk.service_tier
        if chunk.moderation:
            self._top["moderation"] = chunk.moderation

    def _keep_usage(self, raw: Any) -> None:
        usage = read_usage(raw)
        if usage is not None:
            self.usage = usage
            self.usage_final = self.finished
            self.cost = read_cost(raw)
