"""One call held against the provider's book and what its client knows: everything that does not add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.tokens import count_text
from scripts.simulator.book import Record
from tests.e2e.crowd import Told
from tests.e2e.settlement import FINAL, Row, cost_ucr, tokens_charged, usage_cost_ucr

#: How long bytes may lie in the sockets between provider and gateway while the one loop of the test is busy.
IN_SOCKETS_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Case:
    """One call: its client, its rows in the ledger, its records in the provider's book (which began at `began`)."""

    told: Told
    rows: Sequence[Row]
    records: Sequence[Record]
    began: float

    @property
    def close_lag_s(self) -> float | None:
        """From the client's leaving to the provider seeing it; None where the provider was not sending any more."""
        if self.told.left_at is None or not self.records or self.records[-1].outcome != "peer_closed":
            return None
        return self.began + (self.records[-1].close_seen or 0) - self.told.left_at

    @property
    def in_flight_most(self) -> int:
        """Tokens that a provider of this pace can have sent and that nobody had counted when the client left."""
        return math.ceil(self.told.spec.pace * (max(0, self.close_lag_s or 0) + IN_SOCKETS_S)) + 1


def difference(case: Case) -> str | None:
    """What is wrong with the call, None if nothing is."""
    told = case.told
    if not case.rows:
        if case.records:
            return "the provider was asked and the ledger does not know"
        return None if told.left_at is not None else f"answered {told.status} without a row"
    (row, *more) = case.rows
    if more:
        return "several rows"
    if row.state not in FINAL or row.uncollected:
        return f"not settled: {row.state}, uncollected {row.uncollected}"
    if told.saw_end and (told.charged_by_then not in FINAL or row.outcome != "completed"):
        return f"its client saw the end of a call that was {told.charged_by_then}, then {row.outcome}"
    match row.outcome:
        case "completed":
            return _completed(case, row)
        case "failed":
            return None if _is_free(row) else "charged for the provider's fault"
        case "cancelled":
            return _cancelled(case, row)
    return f"outcome {row.outcome}"


def full_cost_ucr(row: Row, record: Record) -> int:
    """The book's usage; of a provider that sent none, the tokens it sent."""
    if record.usage_sent is not None:
        return usage_cost_ucr(row.model, record.usage_sent)
    return cost_ucr(row.model, record.prompt_tokens or 0, record.tokens_sent)


def _is_free(row: Row) -> bool:
    return (row.state, row.charge, row.basis) == ("voided", 0, "none")


def _completed(case: Case, row: Row) -> str | None:
    told, record = case.told, case.records[-1]
    if told.left_at is None and not told.saw_end:
        return f"completed, but its client did not see the end (status {told.status})"
    if row.charge != (due := full_cost_ucr(row, record)):
        return f"charged {row.charge} instead of {due}"
    if row.basis != ("tokenizer_estimate" if record.usage_sent is None else "provider_usage"):
        return f"completed on the basis {row.basis}"
    if told.saw_end and told.spec.kind == "plain" and count_text(told.text) != record.tokens_sent:
        return f"paid for {record.tokens_sent} tokens and got {count_text(told.text)}"
    return None


def _cancelled(case: Case, row: Row) -> str | None:
    told = case.told
    if told.left_at is None:
        return "cancelled, but its client stayed"
    if any("code" in attempt for attempt in row.receipt["attempts"][-1:]):
        return None if _is_free(row) else "charged for an attempt that had failed"
    if row.rule == "B2":
        return _not_accepted(case, row)
    record = case.records[-1]
    prompt = record.prompt_tokens or 0
    if row.basis == "provider_usage":
        return None if row.charge == full_cost_ucr(row, record) else "not charged the provider's usage"
    tokens = tokens_charged(row, prompt)
    if tokens is None:
        return f"charged {row.charge}, which is no whole number of tokens"
    if tokens > record.tokens_sent:
        return f"charged {tokens} tokens of {record.tokens_sent} sent"
    if tokens < count_text(told.text):
        return f"charged {tokens} tokens, its client has {count_text(told.text)}"
    if told.spec.pace and record.tokens_sent - tokens > case.in_flight_most:
        return f"charged {tokens} of {record.tokens_sent} sent, {case.in_flight_most} can have been under way"
    return None


def _not_accepted(case: Case, row: Row) -> str | None:
    if not _is_free(row):
        return "charged although no provider had accepted"
    if not case.records:
        return None
    record, left_at = case.records[-1], case.told.left_at or 0
    accepted = record.status == 200 and record.headers_sent is not None
    if accepted and case.began + (record.headers_sent or 0) < left_at - IN_SOCKETS_S:
        return "free although a provider had accepted long before"
    return None
