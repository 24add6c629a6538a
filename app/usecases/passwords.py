"""Passwords are hashed with argon2id: slow and large on purpose, so in threads and only a few at once.

A hash takes a tenth of a second and 64 MiB. Whoever floods the login must not take the loop's time, nor the memory:
two run, a few wait, the others are sent away.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import trio
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from app.core.errors import Problem

T = TypeVar("T")
RUNNING: Final = 2
WAITING: Final = 16
RETRY_S: Final = 2.0


class Verdict(NamedTuple):
    """Whether the password was right; `renewed` is its hash under today's parameters if the known one has others."""

    is_right: bool
    renewed: str | None = None


class Passwords:
    """Makes and checks hashes. Each method raises Problem 429 when too many wait already."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._limiter = trio.CapacityLimiter(RUNNING)
        self._nobodys = _hash_of_nothing(self._hasher)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, known: str, password: str) -> Verdict:
        """`known` is "" where there is no password to be right: that takes as long and is wrong."""
        return await self._run(lambda: self._verify(known, password))

    def _verify(self, known: str, password: str) -> Verdict:
        try:
            self._hasher.verify(known or self._nobodys, password)
        except (Argon2Error, InvalidHashError):
            return Verdict(False)
        return Verdict(True, self._hasher.hash(password) if self._hasher.check_needs_rehash(known) else None)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._limiter.statistics().tasks_waiting >= WAITING:
            raise Problem(
                "too_many_concurrent_requests",
                "Too many passwords are being checked right now. Try again in a moment.",
                retry_after_s=RETRY_S,
            )
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Has the form and the cost of a hash, and no password leads to it."""
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${parameters}${salt}${digest}"
