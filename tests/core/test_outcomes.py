"""What a call's status is, and which calls are meant by one."""

from __future__ import annotations

from typing import get_args

import pytest

from app.core.errors import CODES
from app.core.ledger import Outcome
from app.core.outcomes import GROUPS, Endings, endings_of, error_of, status_of

#: Every way in which a call can stand.
ENDINGS: list[tuple[Outcome | None, str]] = [
    *((outcome, "") for outcome in (None, *get_args(Outcome))),
    *(("failed", code) for code in CODES),
]


def meant(endings: Endings, outcome: Outcome | None, failure: str) -> bool:
    if outcome is None:
        return endings.outcomes == ()
    return outcome in endings.outcomes and (endings.failures is None or failure in endings.failures)


@pytest.mark.parametrize(("outcome", "failure"), ENDINGS)
def test_who_asks_for_a_calls_status_means_that_call(outcome: Outcome | None, failure: str) -> None:
    status = status_of(outcome, failure)
    for wish in range(100, 600):
        assert meant(endings_of(wish), outcome, failure) == (wish == status), wish


@pytest.mark.parametrize(("outcome", "failure"), ENDINGS)
def test_every_call_is_in_one_group(outcome: Outcome | None, failure: str) -> None:
    assert sum(meant(endings, outcome, failure) for endings in GROUPS.values()) == 1


@pytest.mark.parametrize(
    ("outcome", "failure", "status", "error"),
    [
        (None, "", None, None),
        ("completed", "", 200, None),
        ("cancelled", "", 499, None),
        ("failed", "upstream_error", 502, "upstream_error"),
        ("failed", "", 500, None),
        ("interrupted", "", 500, "interrupted"),
    ],
)
def test_a_status_and_an_error_tell_how_it_ended(
    outcome: Outcome | None, failure: str, status: int | None, error: str | None
) -> None:
    assert (status_of(outcome, failure), error_of(outcome, failure)) == (status, error)
