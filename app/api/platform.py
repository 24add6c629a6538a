"""The way of every platform request: who asks, may they, what did they send, run the handler, answer.

    api = Platform("bots", services)

    @api.add("POST", "/api/v1/bots", scope="bots:write", least="admin", status=201)
    async def create_bot(visitor: Visitor, body: NewBot) -> Bot:
        \"\"\"Create a bot.\"\"\"

A handler is given what it names: `visitor`, `body` and `query` (msgspec Structs, decoded as annotated), `headers` (a
list of reply headers to add to), `exchange`, and the variables of its path. What it returns is sent as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from app.api.exchange import Exchange, Headers
from app.api.idempotent import write_once
from app.api.operation import JSON, Operation, PlatformHandler, Rules, describe_operation
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.visitors import find_visitor
from app.core.decode import convert, decode_object, storable
from app.core.errors import Problem

#: Methods with which a repeat under the same Idempotency-Key is answered as the first request was (spec.md 17).
ONCE: Final = ("POST", "PUT", "PATCH")
#: Largest body: a bot's longest prompt fits with every character escaped. A body is looked at piece by piece,
#: and the loop waits for that: 20 MB of brackets would take it twenty seconds.
LARGEST_BODY: Final = 256 * 1024
#: From somebody who is nobody yet.
LARGEST_OF_STRANGERS: Final = 32 * 1024


class Platform:
    """One area's operations. `routes` serves them, `operations` describes them."""

    def __init__(self, tag: str, services: ApiServices) -> None:
        self.tag = tag
        self.routes = Routes(f"platform {tag}")
        self.operations: list[Operation] = []
        self._services = services

    def add(self, method: str, path: str, **rules: Any) -> Callable[[PlatformHandler], PlatformHandler]:
        """Decorate a handler; `rules` are the fields of `Rules`."""

        def register(handler: PlatformHandler) -> PlatformHandler:
            operation = describe_operation(self.tag, method, path, Rules(**rules), handler)

            async def answer(exchange: Exchange, **variables: str) -> None:
                await self._answer(operation, handler, exchange, variables)

            self.operations.append(operation)
            self.routes.add(method, path)(answer)
            return handler

        return register

    async def _answer(
        self, operation: Operation, handler: PlatformHandler, exchange: Exchange, given: dict[str, Any]
    ) -> None:
        services, write = self._services, partial(_run, operation, handler, exchange, given)
        if operation.rules.entry == "public":
            await write()
            return
        visitor = await find_visitor(exchange, operation, services.access, services.sessions)
        if "visitor" in operation.takes:
            given["visitor"] = visitor
        if operation.method in ONCE:
            await write_once(services, exchange, visitor, write)
        else:
            await write()


async def _run(operation: Operation, handler: PlatformHandler, exchange: Exchange, given: dict[str, Any]) -> None:
    """Read what was sent, run the handler, reply. Raises Problem."""
    rules, takes = operation.rules, operation.takes
    headers: Headers = []
    if operation.query is not None:
        given["query"] = read_query(exchange, operation.query)
    if operation.body is not None:
        _check_size(len(exchange.body), LARGEST_OF_STRANGERS if rules.public else LARGEST_BODY)
        given["body"] = convert(storable(decode_object(exchange.body)), operation.body)
    if "headers" in takes:
        given["headers"] = headers
    if "exchange" in takes:
        given["exchange"] = exchange
    reply = await handler(**given)
    if rules.media == JSON:
        headers.append((b"cache-control", b"no-store"))
        if operation.reply is None:
            await exchange.reply(rules.status, headers, b"")
        else:
            await exchange.reply_json(msgspec.json.encode(reply), headers, rules.status)


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise Problem("request_too_large", f"The request body is larger than {largest} bytes.")


def read_query(exchange: Exchange, query_type: type) -> Any:
    """The query as a Struct; the first value of each name counts, an empty one is none. Raises Problem 400."""
    text = exchange.scope["query_string"].decode("latin1")
    sent = {name: values[0] for name, values in parse_qs(text).items()}
    query: Any = convert(sent, query_type, strict=False)
    for name in sent:
        if getattr(query, name, "") is None:  # from the text "null"
            raise Problem("invalid_value", f"{name} cannot be null: leave it out instead.", name)
    return query
