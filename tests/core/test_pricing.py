"""Prices: exact, rounded up once, and the catalog's own examples."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.deltas import Usage
from app.core.pricing import MILLION, TokenPrice
from catalog.catalog import Catalog

COUNTS = st.integers(0, 10**7)
PRICES = st.builds(
    TokenPrice,
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(1, 200),
    st.none() | st.integers(0, 10**9),
    st.integers(0, 10**6),
)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS)


def exact_ucr(price: TokenPrice, usage: Usage) -> Fraction:
    """The cost in fractions of a micro-credit, bucket by bucket."""
    cached = min(usage.cached, usage.prompt)
    cached_price = price.input_musd if price.cached_input_musd is None else price.cached_input_musd
    dollars = Fraction(usage.prompt - cached) * price.input_musd + Fraction(cached) * cached_price
    dollars += Fraction(usage.completion) * price.output_musd
    return (dollars / MILLION + price.flat_musd) * price.credits_per_usd


@given(PRICES, USAGES)
def test_a_cost_is_exact_and_rounded_up_once(price: TokenPrice, usage: Usage) -> None:
    assert 0 <= price.cost_ucr(usage) - exact_ucr(price, usage) < 1


@given(PRICES, USAGES, st.integers(0, 1000), st.integers(0, 1000))
def test_more_usage_never_costs_less(price: TokenPrice, usage: Usage, prompt: int, completion: int) -> None:
    more = Usage(usage.prompt + prompt, usage.completion + completion)
    assert price.cost_ucr(more) >= price.cost_ucr(Usage(usage.prompt, usage.completion))


def test_one_token_of_a_cheap_model_costs_one_micro_credit_not_nothing() -> None:
    assert TokenPrice(1, 1, 1).tokens_ucr(1, 0) == 1


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_usage_costs_nothing(input_musd: int, output_musd: int) -> None:
    assert TokenPrice(input_musd, output_musd, 100).cost_ucr(Usage()) == 0


@pytest.mark.parametrize(
    ("model", "prompt", "completion", "ucr"),
    [
        ("kimi-k2.5", 500, 200, 121_500),
        ("kimi-k2.5", 1, 0, 81),
        ("kimi-k2.5-fast", 500, 200, 121_500),
    ],
)
def test_the_catalog_charges_what_the_contract_says(model: str, prompt: int, completion: int, ucr: int) -> None:
    catalog = Catalog.load()
    price = catalog.models[model].price
    token_price = TokenPrice(price.input_musd, price.output_musd, catalog.rates.credits_per_usd)
    assert token_price.tokens_ucr(prompt, completion) == ucr


def test_cached_tokens_are_inside_the_prompt_and_cost_their_own_price() -> None:
    price = TokenPrice(1_000_000, 0, 100, cached_input_musd=100_000)
    assert price.cost_ucr(Usage(prompt=1000, cached=400)) == 600 * 100 + 400 * 10


def test_more_cached_than_prompt_is_taken_as_all_cached() -> None:
    price = TokenPrice(1_000_000, 0, 100, cached_input_musd=100_000)
    assert price.cost_ucr(Usage(prompt=10, cached=99)) == 10 * 10


def test_without_a_price_for_cached_tokens_they_cost_what_others_do() -> None:
    price = TokenPrice(1_000_000, 0, 100)
    assert price.cost_ucr(Usage(prompt=1000, cached=400)) == price.cost_ucr(Usage(prompt=1000))


def test_reasoning_is_inside_the_completion_and_not_paid_twice() -> None:
    price = TokenPrice(0, 1_000_000, 100)
    assert price.cost_ucr(Usage(completion=50, reasoning=30)) == price.cost_ucr(Usage(completion=50))
