"""What is left of a plan and a key, as headers."""

from __future__ import annotations

import pytest

from app.core.allowance import Allowance, MonthlyCap, refused_rate_headers
from app.core.limits import Rate, take

MIDNIGHT = 1_796_083_200_000_000
RATE = take(Rate(60), 0, 0)


def test_without_a_cap_only_the_key_s_window_is_told() -> None:
    assert set(Allowance(RATE).headers()) == {
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    }


def test_a_cap_tells_what_is_left_and_when_it_begins_anew() -> None:
    headers = Allowance(RATE, MonthlyCap(100, 3, MIDNIGHT)).headers()
    assert headers["X-RateLimit-Limit"] == "100"
    assert headers["X-RateLimit-Remaining"] == "97"
    assert headers["X-RateLimit-Reset"] == "2026-12-01T00:00:00Z"
    assert "X-Usage-Warning" not in headers


@pytest.mark.parametrize(
    ("used", "level"), [(79, None), (80, "warning"), (94, "warning"), (95, "critical"), (100, "critical")]
)
def test_the_warning_grows_with_the_use(used: int, level: str | None) -> None:
    warning = MonthlyCap(100, used, MIDNIGHT).headers().get("X-Usage-Warning")
    assert (warning or "").partition(":")[0] == (level or "")


def test_a_refusal_by_rate_tells_that_window_in_the_plain_headers_too() -> None:
    rate = RATE
    for _ in range(60):
        rate = take(Rate(60), rate.tat_us, 0)
    headers = refused_rate_headers(rate, MIDNIGHT)
    assert headers["X-RateLimit-Limit"] == headers["x-ratelimit-limit-requests"] == "60"
    assert headers["X-RateLimit-Remaining"] == "0"
    assert headers["X-RateLimit-Reset"] == "2026-12-01T00:01:00Z"
