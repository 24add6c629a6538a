"""What is sealed opens for its own context under its own secret, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.sealing import Sealer, derived_key

SEALER = Sealer("a secret for tests only")


@given(st.binary(max_size=2000), st.text(max_size=40))
def test_what_was_sealed_opens(data: bytes, context: str) -> None:
    assert SEALER.open(SEALER.seal(data, context), context) == data


def test_the_same_data_is_sealed_differently_each_time() -> None:
    assert SEALER.seal(b"secret", "a") != SEALER.seal(b"secret", "a")


@pytest.mark.parametrize(
    "opened",
    [
        lambda text: SEALER.open(text, "another tenant"),
        lambda text: Sealer("another secret of the server").open(text, "a tenant"),
        lambda text: SEALER.open(text[:-8] + "AAAAAAA=", "a tenant"),
        lambda text: SEALER.open("", "a tenant"),
        lambda text: SEALER.open("!!", "a tenant"),
    ],
)
def test_what_was_not_sealed_so_does_not_open(opened: Callable[[str], bytes]) -> None:
    text = SEALER.seal(b"whsec_123", "a tenant")
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it, the caller is told the same
        opened(text)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert derived_key("secret", "a") != derived_key("secret", "b")


def test_a_digest_is_the_same_for_the_same_data_context_and_secret_only() -> None:
    digest = SEALER.digest("data", "a tenant")
    assert digest == Sealer("a secret for tests only").digest("data", "a tenant")
    others = [
        SEALER.digest("Data", "a tenant"),
        SEALER.digest("data", "b"),
        Sealer("another").digest("data", "a tenant"),
    ]
    assert digest not in others
