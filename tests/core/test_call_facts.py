"""What is kept of a call besides its money."""

from __future__ import annotations

import pytest

from app.core.call_facts import LONGEST_MARK, Measured, kept_mark, measured
from app.core.deltas import Usage


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        ({}, Measured()),
        ({"usage": Usage(12, 5, cached=3)}, Measured(12, 5)),
        ({"usage": Usage()}, Measured(0, 0)),
        ({"usage": None, "units": None}, Measured()),
        ({"units": {"seconds": 1.2345}}, Measured(audio_ms=1234)),
        ({"units": {"images": 2}}, Measured()),
    ],
)
def test_a_receipt_tells_what_was_used(receipt: dict[str, object], expected: Measured) -> None:
    assert measured(receipt) == expected


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("", ""),
        ("checkout 42 / हिन्दी", "checkout 42 / हिन्दी"),
        ("a\tb\x00c\u200bd\ud800e", "abcde"),
        ("x" * 500, "x" * LONGEST_MARK),
        ("\t" * 300 + "y", "y"),
    ],
)
def test_of_a_mark_what_prints_is_kept_up_to_a_length(sent: str, kept: str) -> None:
    assert kept_mark(sent) == kept
    assert kept_mark(kept) == kept
