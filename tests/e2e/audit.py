"""One call held against the provider's book and what its client knows: everything that does not add up."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.tokens import count_text
from scripts.simulator.book import Book, Record
from tests.e2e.crowd import Told
from tests.e2e.settlement import FINAL, Row, cost_ucr, tokens_charged, usage_cost_ucr


@dataclass(frozen=True, slots=True)
class Case:
    """One call: its client, its rows in the ledger, its records in the provider's book (which began at `began`).

    Bytes may lie in the sockets between provider and gateway for `in_sockets_s` while the one loop of all is busy.
    """

    told: Told
    rows: Sequence[Row]
    records: Sequence[Record]
    began: float
    in_sockets_s: float

    @property
    def close_span(self) -> tuple[float, float] | None:
        """From the client's leaving to the provider seeing it; None where the provider was not sending any more.

        Of a provider that was asked only later, because its gateway had not yet read the request: from then on.
        """
        if self.told.left_at is None or not self.records or self.records[-1].outcome != "peer_closed":
            return None
        record = self.records[-1]
        return max(self.told.left_at, self.began + record.accepted), self.began + (record.close_seen or 0)

    @property
    def close_lag_s(self) -> float | None:
        return None if self.close_span is None else self.close_span[1] - self.close_span[0]

    @property
    def in_flight_most(self) -> int:
        """Tokens that a provider of this pace can have sent and that nobody had counted when the client left."""
        return math.ceil(self.told.spec.pace * (max(0, self.close_lag_s or 0) + self.in_sockets_s)) + 1


def collect(book: Book, rows: Iterable[Row], crowd: Iterable[Told], in_sockets_s: float) -> list[Case]:
    """Each client's call with its rows and its records, found by the tag that all three know.

    A row without a receipt has no tag: then its client must know the call's id.
    """
    told_of = {told.spec.tag: told for told in crowd}
    tag_of = {told.call_id: tag for tag, told in told_of.items()}
    rows_of: defaultdict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        rows_of[row.tag or tag_of.get(row.id)].append(row)
    records_of: defaultdict[str | None, list[Record]] = defaultdict(list)
    for record in book.records():
        records_of[record.tag].append(record)
    assert rows_of.keys() <= told_of.keys(), "a call that nobody made"
    return [
        Case(told, rows_of[tag], records_of[tag], book.begin(), in_sockets_s) for tag, told in sorted(told_of.items())
    ]


def differences(case: Case) -> list[str]:
    """What is wrong with the call; empty when all of it adds up."""
    told = case.told
    if len(case.rows) > 1:
        return ["several rows"]
    if not case.rows:
        missing = "the provider was asked and the ledger does not know" if case.records else None
        unanswered = f"answered {told.status} without a row" if told.left_at is None else None
        return [wrong for wrong in (missing, unanswered) if wrong]
    (row,) = case.rows
    return [*_ending(told, row), *_BY_OUTCOME.get(row.outcome, _unknown)(case, row)]


def full_cost_ucr(row: Row, record: Record) -> int:
    """The book's usage; of a provider that sent none, the tokens it sent."""
    if record.usage_sent is not None:
        return usage_cost_ucr(row.model, record.usage_sent)
    return cost_ucr(row.model, record.prompt_tokens or 0, record.tokens_sent)


def _ending(told: Told, row: Row) -> Iterator[str]:
    if row.state not in FINAL or row.uncollected:
        yield f"not settled: {row.state}, uncollected {row.uncollected}"
    if told.saw_end and (told.charged_by_then != "posted" or row.outcome != "completed"):
        yield f"its client saw the end of a call that was {told.charged_by_then}, then {row.outcome}"


def _completed(case: Case, row: Row) -> Iterator[str]:
    told, record = case.told, case.records[-1]
    if told.left_at is None and not told.saw_end:
        yield f"completed, but its client did not see the end (status {told.status})"
    if row.charge != (due := full_cost_ucr(row, record)):
        yield f"charged {row.charge} instead of {due}"
    if row.basis != ("tokenizer_estimate" if record.usage_sent is None else "provider_usage"):
        yield f"completed on the basis {row.basis}"
    if told.saw_end and told.spec.kind == "plain" and count_text(told.text) != record.tokens_sent:
        yield f"paid for {record.tokens_sent} tokens and got {count_text(told.text)}"


def _failed(case: Case, row: Row) -> Iterator[str]:
    if not _is_free(row):
        yield "charged for the provider's fault"


def _cancelled(case: Case, row: Row) -> Iterator[str]:
    if case.told.left_at is None:
        yield "cancelled, but its client stayed"
    if any("code" in attempt for attempt in row.receipt["attempts"][-1:]):
        if not _is_free(row):
            yield "charged for an attempt that had failed"
    elif row.rule == "B2":
        yield from _not_accepted(case, row)
    elif row.basis == "provider_usage":
        if row.charge != full_cost_ucr(row, case.records[-1]):
            yield "not charged the provider's usage"
    else:
        yield from _cut(case, row)


def _not_accepted(case: Case, row: Row) -> Iterator[str]:
    if not _is_free(row):
        yield "charged although no provider had accepted"
    for record in case.records[-1:]:
        accepted = record.status == 200 and record.headers_sent is not None
        if accepted and case.began + (record.headers_sent or 0) < (case.told.left_at or 0) - case.in_sockets_s:
            yield "free although a provider had accepted long before"


def _cut(case: Case, row: Row) -> Iterator[str]:
    """Between what the client has and what the provider sent, and all of that but what was under way."""
    record, seen = case.records[-1], count_text(case.told.text)
    tokens = tokens_charged(row, record.prompt_tokens or 0)
    if tokens is None:
        yield f"charged {row.charge}, which is no whole number of tokens"
    elif not seen <= tokens <= record.tokens_sent:
        yield f"charged {tokens} tokens: the provider sent {record.tokens_sent}, its client has {seen}"
    elif case.told.spec.pace and record.tokens_sent - tokens > case.in_flight_most:
        yield f"charged {tokens} of {record.tokens_sent} sent, {case.in_flight_most} can have been under way"


def _is_free(row: Row) -> bool:
    return (row.state, row.charge, row.basis) == ("voided", 0, "none")


def _unknown(case: Case, row: Row) -> Iterator[str]:
    yield f"ended as {row.outcome}"


_BY_OUTCOME: Final[dict[str | None, Callable[[Case, Row], Iterator[str]]]] = {
    "completed": _completed,
    "failed": _failed,
    "cancelled": _cancelled,
}
