"""What the surfaces of calls that are not chat share: the facts of the call, noted whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.api.answering import sdk_retries
from app.api.exchange import Exchange
from app.observability.facts import CallFacts


@contextmanager
def open_facts(exchange: Exchange, endpoint: str, operation: str, id_prefix: str) -> Iterator[CallFacts]:
    """The facts of the call that this request makes; its id stands in the access line, if it was admitted."""
    exchange.call = facts = CallFacts(
        exchange.request_id, endpoint, exchange.began, operation, id_prefix, sdk_retries(exchange)
    )
    try:
        yield facts
    finally:
        if facts.id:
            exchange.note["call"] = facts.id
