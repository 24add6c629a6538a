"""The settlement table (pains.md section 2) and the running tally behind holds."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.billing import Bill, CancelSemantics, Tally, cut_bill, finished_bill
from app.core.deltas import Delta, ToolDelta, Usage
from app.core.ledger import Outcome
from app.core.pricing import TokenPrice
from app.core.tokens import count_text

PRICE = TokenPrice(1_000_000, 2_000_000, 100)
USAGE = Usage(prompt=30, completion=20)
TEXTS = st.text(max_size=60) | st.sampled_from(["word ", "नमस्ते ", "🙂🙂", "a" * 500])
DELTAS = st.lists(
    st.builds(
        Delta,
        content=st.none() | TEXTS,
        reasoning=st.none() | TEXTS,
        refusal=st.none() | TEXTS,
        tools=st.none() | st.lists(st.builds(ToolDelta, index=st.just(0), arguments=TEXTS), max_size=2),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("usage", "bill"),
    [
        (USAGE, Bill("completed", 30 * 100 + 20 * 200, "provider_usage", "B5")),
        (Usage(), Bill("completed", 0, "provider_usage", "B8")),
        (Usage(prompt=30), Bill("completed", 30 * 100, "provider_usage", "B5")),
        (None, Bill("completed", 7 * 100 + 9 * 200, "tokenizer_estimate", "B9")),
    ],
)
def test_a_finished_answer_costs_the_providers_usage_or_our_own_count(usage: Usage | None, bill: Bill) -> None:
    assert finished_bill(usage, PRICE, 7, 9) == bill


@pytest.mark.parametrize(
    ("outcome", "semantics", "rule"),
    [
        ("cancelled", "stops_billing", "B3"),
        ("cancelled", "bills_anyway", "B4"),
        ("cancelled", "unknown", "B4"),
        ("completed", "stops_billing", "B11"),
        ("completed", "bills_anyway", "B11"),
    ],
)
def test_a_cut_answer_costs_what_came_until_then(outcome: Outcome, semantics: CancelSemantics, rule: str) -> None:
    counted = cut_bill(outcome, None, PRICE, 7, 9, semantics)
    seen = cut_bill(outcome, USAGE, PRICE, 7, 9, semantics)
    assert counted == Bill(outcome, 7 * 100 + 9 * 200, "tokenizer_estimate", rule)
    assert seen == Bill(outcome, 30 * 100 + 20 * 200, "usage_snapshot", rule)


def test_a_snapshot_of_zeros_is_zero_and_not_our_own_count() -> None:
    assert cut_bill("cancelled", Usage(), PRICE, 7, 9, "stops_billing").cost_ucr == 0


#: What a pair costs apart may be less than together: after 982 times "a", " for" changes how the run is cut up.
SEAM: Final = 4


@given(st.lists(DELTAS, max_size=5), st.integers(0, 10**6))
@example([[Delta(reasoning="a" * 491, refusal="a" * 491)], [Delta(refusal="for")]], 0)
def test_the_running_cost_is_not_below_the_true_cost_but_for_a_few_tokens_a_seam(
    batches: list[list[Delta]], free_below: int
) -> None:
    tally = Tally(PRICE, 11)
    for seams, batch in enumerate(batches):
        tally.add(batch)
        assert tally.running_cost_ucr(free_below) >= PRICE.tokens_ucr(11, count_text(tally.text()) - SEAM * seams)


def test_text_that_is_not_counted_yet_is_taken_at_its_worst() -> None:
    tally = Tally(PRICE, 0)
    tally.add([Delta(content="abc"), Delta(content="\U0001f64f\u0939")])
    assert tally.running_cost_ucr(10**9) == PRICE.tokens_ucr(0, 3 + 2 * 4)


def test_above_the_cheap_bound_the_running_cost_is_counted() -> None:
    tally = Tally(PRICE, 11)
    tally.add([Delta(content="twelve plain English words that a tokenizer takes for about a dozen tokens")])
    exact = PRICE.tokens_ucr(11, count_text(tally.text()))
    assert tally.running_cost_ucr(10**9) > exact
    assert tally.running_cost_ucr(0) == exact
    assert tally.running_cost_ucr(10**9) == exact


def test_everything_that_was_generated_is_tallied() -> None:
    tally = Tally(PRICE, 0)
    assert tally.empty
    call = ToolDelta(0, arguments='{"city":', name="weather")
    tally.add([Delta(content="a", reasoning="b", refusal="c"), Delta(tools=[call, ToolDelta(0, arguments='"Pune"}')])])
    assert not tally.empty
    assert tally.text() == 'abcweather{"city":"Pune"}'


def test_an_answer_that_never_came_costs_its_prompt_only() -> None:
    assert Tally(PRICE, 11).running_cost_ucr(0) == 11 * 100


@given(DELTAS, DELTAS, st.integers(0, 400_000))
def test_what_fits_is_the_longest_beginning_that_the_limit_pays_for(
    before: list[Delta], more: list[Delta], limit_ucr: int
) -> None:
    tally = Tally(PRICE, 0)
    tally.add(before)
    mark, said = tally.mark(), tally.text()
    tally.add(more)
    fitting = tally.add_what_fits(mark, more, limit_ucr)
    assert fitting == more[: len(fitting)]
    only_fitting = Tally(PRICE, 0)
    only_fitting.add(fitting)
    assert tally.text() == said + only_fitting.text()
    if fitting:
        assert tally.running_cost_ucr(0) <= limit_ucr
    if len(fitting) < len(more):
        tally.add([more[len(fitting)]])
        assert tally.running_cost_ucr(0) > limit_ucr - PRICE.tokens_ucr(0, SEAM)


def test_a_long_answer_is_kept_in_few_pieces_and_can_still_be_cut() -> None:
    tally = Tally(PRICE, 0)
    for number in range(2000):
        mark = tally.mark()
        tally.add([Delta(content=f"{number} ")])
    assert tally.text() == "".join(f"{number} " for number in range(2000))
    assert tally.mark() < 300
    mark = tally.mark()
    tally.add([Delta(content="too much")])
    assert tally.add_what_fits(mark, [Delta(content="too much")], 0) == []
    assert tally.text().endswith("1999 ")
