"""Operations of the platform API as the document tells them: all of it follows from how they are declared."""

from __future__ import annotations

from typing import Final

import msgspec

from app.api.openapi import errors
from app.api.openapi.described import Content, Described, Scheme
from app.api.operation import JSON, Operation
from app.api.platform import ONCE
from app.core.idempotency import HEADER

SAFE: Final = ("GET", "HEAD")
ENTRIES: Final[dict[str, tuple[Scheme, ...]]] = {
    "public": (),
    "session": ("session",),
    "scope": ("bearer", "session"),
}


def describe(operation: Operation) -> Described:
    """Raises KeyError for an error code that there is not."""
    rules = operation.rules
    summary, _, rest = operation.summary.partition(". ")
    reply = () if operation.reply is None and rules.media == JSON else (_reply(operation),)
    return Described(
        method=operation.method,
        path=operation.path,
        tag=operation.tag,
        name=operation.name,
        summary=summary,
        description="\n\n".join(filter(None, (rest, operation.description, _entry(operation)))),
        security=ENTRIES[rules.entry],
        query=operation.query,
        headers=(HEADER,) if _once(operation) else (),
        body=() if operation.body is None else (Content(type=operation.body, example=rules.example),),
        status=rules.status,
        reply=reply,
        reply_headers=("Idempotent-Replay",) if _once(operation) else (),
        errors=_errors(operation),
    )


def _once(operation: Operation) -> bool:
    """Whether a repeat under the same key is answered as the first was."""
    return operation.method in ONCE and operation.rules.entry != "public"


def _reply(operation: Operation) -> Content:
    if operation.rules.media == JSON:
        return Content(type=operation.reply)
    return Content(operation.rules.media, schema={"type": "string"})


def _entry(operation: Operation) -> str:
    rules = operation.rules
    member = "any member" if rules.least == "agent" else f"a member with the role {rules.least} or more"
    scopes = " or ".join(f"`{scope}`" for scope in (rules.scope, rules.or_scope) if scope)
    words = {
        "public": "Needs no credential.",
        "session": f"Needs the session of {member}; a key cannot do it.",
        "scope": f"Needs a key with the scope {scopes}, or the session of {member}.",
    }[rules.entry]
    return f"{words} The reply holds something that is shown once." if rules.secret else words


def _errors(operation: Operation) -> tuple[str, ...]:
    rules = operation.rules
    codes: list[str] = []
    if rules.entry != "public":
        codes += [*errors.KEY[:-1], "token_expired"]
        codes.append("session_required" if rules.entry == "session" else "permission_denied")
        if operation.method not in SAFE:
            codes.append("csrf_failed")
        if rules.least != "agent":
            codes.append("role_required")
    if _once(operation):
        codes += ["invalid_value", *errors.IDEMPOTENCY]
    if operation.body is not None:
        codes += errors.BODY
    if operation.query is not None:
        codes += ["invalid_value", "invalid_type"]
        if any(field.required for field in msgspec.structs.fields(operation.query)):
            codes.append("missing_required_parameter")
    if "<" in operation.path:
        codes.append("not_found")
    return (*codes, *rules.errors)
