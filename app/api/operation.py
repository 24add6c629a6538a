"""What an operation of the platform API takes and gives, read off its handler: for serving it and for OpenAPI alike."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_type_hints

from app.core.identity import Role

#: "public" needs no credential; "session" takes a member's session only; "scope" takes a key with that scope as well.
Entry = Literal["public", "session", "scope"]
JSON: Final = "application/json"
#: Parameters of a handler that are no variables of its path.
GIVEN: Final = frozenset({"body", "exchange", "headers", "query", "visitor"})
PlatformHandler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operation is declared with. Without a scope only sessions may; `public` lets everybody in.

    `least` is the least role that a session needs; a key is limited by its scopes instead. `errors` names the codes
    that its handler raises besides those that follow from what it takes.
    """

    scope: str = ""
    #: Another scope that opens it as well.
    or_scope: str = ""
    least: Role = "agent"
    public: bool = False
    status: int = 200
    #: Anything else than JSON is sent by the handler itself, through the exchange.
    media: str = JSON
    errors: tuple[str, ...] = ()
    #: The reply holds something that is shown once.
    secret: bool = False
    #: A body that works, where none can be made from its required fields alone.
    example: Any = field(default=None, hash=False)

    @property
    def entry(self) -> Entry:
        if self.public:
            return "public"
        return "scope" if self.scope else "session"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body`, `query` and `reply` are the Structs that its handler names, None without."""

    method: str
    path: str
    #: Its handler's, the operation's id in OpenAPI.
    name: str
    rules: Rules
    summary: str
    description: str
    tag: str
    body: type | None
    query: type | None
    reply: Any
    takes: frozenset[str] = field(repr=False)


def describe_operation(tag: str, method: str, path: str, rules: Rules, handler: PlatformHandler) -> Operation:
    """Read the operation off its handler's signature and docstring. Raises TypeError for one without either."""
    hints = get_type_hints(handler)
    summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
    if not summary or "return" not in hints:
        raise TypeError(f"{method} {path}: its handler needs a docstring and annotations")
    reply = hints.pop("return")
    return Operation(
        method=method,
        path=path,
        name=handler.__name__,
        rules=rules,
        summary=summary.rstrip("."),
        description=description.strip(),
        tag=tag,
        body=hints.get("body"),
        query=hints.get("query"),
        reply=None if reply is type(None) else reply,
        takes=frozenset(hints),
    )
