"""An operation is read off its handler, and one that says too little is refused when the gateway is built."""

from __future__ import annotations

import msgspec
import pytest

from app.api.operation import Rules, describe_operation
from app.core.identity import Visitor


class Body(msgspec.Struct):
    name: str


class Reply(msgspec.Struct):
    id: str


async def change(visitor: Visitor, thing_id: str, body: Body) -> Reply:
    """Change a thing.

    What is left out stays.
    """
    return Reply(f"{visitor.tenant_id} {thing_id} {body.name}")


async def forget(thing_id: str) -> None:
    """Forget a thing"""
    del thing_id


async def silent(thing_id: str) -> None:
    del thing_id


def test_types_and_words_come_from_the_handler() -> None:
    found = describe_operation("things", "PUT", "/things/<thing_id>", Rules(scope="things:write"), change)
    assert (found.body, found.query, found.reply) == (Body, None, Reply)
    assert (found.summary, found.description) == ("Change a thing", "What is left out stays.")
    assert found.takes == {"visitor", "thing_id", "body"}


def test_nothing_is_replied_where_nothing_is_returned() -> None:
    found = describe_operation("things", "DELETE", "/things/<thing_id>", Rules(), forget)
    assert (found.reply, found.body, found.description) == (None, None, "")


def test_a_handler_without_words_is_refused() -> None:
    with pytest.raises(TypeError, match="DELETE /things/<thing_id>: its handler needs a docstring"):
        describe_operation("things", "DELETE", "/things/<thing_id>", Rules(), silent)


@pytest.mark.parametrize(
    ("rules", "entry"), [(Rules(), "session"), (Rules(scope="a:read"), "scope"), (Rules(public=True), "public")]
)
def test_who_may_come_in_follows_from_the_rules(rules: Rules, entry: str) -> None:
    assert rules.entry == entry
