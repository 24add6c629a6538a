"""A name server for the tests of whatever goes out to hosts that tenants name."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from app.providers.receivers import Address


class Names:
    """A name server that gives these answers one after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(each) for each in answer]
