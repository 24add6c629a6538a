"""The response object with all its keys, always in the same order; what never changes in a response is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.core.deltas import Usage
from app.core.errors import Problem

_encode = msgspec.json.Encoder().encode
#: What the SDKs know of the reasons why a response failed (compat.md R14); any other is the server's.
FAILURES: Final = {
    "rate_limit_exceeded": "rate_limit_exceeded",
    "context_length_exceeded": "invalid_prompt",
    "content_policy_violation": "invalid_prompt",
}
#: A chat answer's finish -> why the response is incomplete (R15).
INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


def usage_object(usage: Usage) -> dict[str, Any]:
    """The full key set, zeros included (R12)."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


class ResponseObject:
    """Object R of compat.md section 3. `echo` is what the request said, see `responses.echo`."""

    __slots__ = ("_before", "_echo", "id", "model", "service_tier")

    def __init__(self, id: str, created: int, model: str, echo: Mapping[str, Any]) -> None:
        self.id = id
        self.model = model
        self.service_tier = "default"
        self._before = _encode({"id": id, "object": "response", "created_at": created})[:-1] + b',"completed_at":'
        self._echo = b"," + _encode({"background": False, "model": model, **echo})[1:-1]

    def failed(self, problem: Problem, output: list[dict[str, Any]]) -> bytes:
        error = {"code": FAILURES.get(problem.code, "server_error"), "message": problem.message}
        return self._object("failed", output, error=error)

    def in_progress(self, output: list[dict[str, Any]]) -> bytes:
        return self._object("in_progress", output)

    def ended(self, reason: str | None, completed_at: int, output: list[dict[str, Any]], usage: Usage) -> bytes:
        """Completed, or incomplete for `reason`."""
        if reason is None:
            return self._object("completed", output, completed_at=completed_at, usage=usage_object(usage))
        return self._object("incomplete", output, incomplete={"reason": reason}, usage=usage_object(usage))

    def _object(
        self,
        status: str,
        output: list[dict[str, Any]],
        *,
        completed_at: int | None = None,
        error: dict[str, Any] | None = None,
        incomplete: dict[str, Any] | None = None,
        usage: dict[str, Any] | None = None,
    ) -> bytes:
        changing = {
            "status": status,
            "error": error,
            "incomplete_details": incomplete,
            "output": output,
            "service_tier": self.service_tier,
            "usage": usage,
        }
        return b"%b%b,%b%b}" % (self._before, _encode(completed_at), _encode(changing)[1:-1], self._echo)
