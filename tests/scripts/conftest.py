"""What every test of a script shares."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_log_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs in this process leaves the log of all the other tests alone."""
    for module in ("app.__main__", "scripts.cluster", "scripts.launch"):
        monkeypatch.setattr(f"{module}.configure_log", lambda _level: None)
