"""A delivery's signature and the pauses between its attempts."""

from __future__ import annotations

import pytest

from app.core.webhooks import MOST_ATTEMPTS, new_secret, pause_us, signature


def test_the_signature_is_that_of_rfc_4231() -> None:
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature("Jefe", b"what do ya want for nothing?") == f"sha256={digest}"


def test_secrets_are_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("whsec_") and len(secret) >= 48 for secret in made)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 16)])
def test_each_pause_is_twice_the_one_before(attempts: int, seconds: int) -> None:
    assert pause_us(attempts) == seconds * 1_000_000


def test_nobody_tries_a_sixth_time() -> None:
    assert MOST_ATTEMPTS == 5
    assert pause_us(5) is None
