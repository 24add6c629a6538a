"""A day in virtual time: whatever goes wrong, nothing is lost, said twice, charged twice or said too late."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.channels.day.playing import played
from tests.databases import ON_POSTGRES, open_view

SEEDS = [int(seed) for seed in os.environ.get("DAY_SEEDS", "1").split(",")]
HOURS = float(os.environ.get("DAY_HOURS", "24"))
SCENES = int(os.environ.get("DAY_SCENES", "88"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_with_everything_that_can_go_wrong(database_url: str, tmp_path: Path, seed: int) -> None:
    day, faults = played(database_url, tmp_path, seed, hours=HOURS, scenes=SCENES)
    assert faults == {}
    if (HOURS, SCENES) == (24, 88):
        with open_view(database_url) as view:
            ends = Counter(row[0] for row in view.all("SELECT disposition FROM messages WHERE role = 'user'"))
            sent = {row[0] for row in view.all("SELECT reason FROM sends")}
            paid = {row[0] for row in view.all("SELECT category FROM calls WHERE charge > 0")}
        assert ends.total() >= 2000
        assert ends["answered"] > ends.total() / 2
        assert {"human", "failed", "bot_off", "unsupported", "handoff", "too_late", "unheard"} <= ends.keys()
        assert {"window_closed", "unknown_outcome", "previous_part_failed"} <= sent
        assert paid == {"llm", "stt", "tts", "message"}
        assert day.kills > 10


@ON_POSTGRES
def test_bad_minutes_on_postgresql(database_url: str, tmp_path: Path) -> None:
    _, faults = played(
        database_url, tmp_path, 1, hours=0.05, scenes=3, names=["takeover", "cut_off", "speech"], cool_s=600
    )
    assert faults == {}
