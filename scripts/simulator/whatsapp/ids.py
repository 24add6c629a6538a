"""Ids as the providers make them, different in every run of the simulator."""

from __future__ import annotations

from base64 import b64encode
from random import Random, SystemRandom
from typing import Final

_DIGITS: Final = "0123456789"


class Ids:
    """`random` is an argument so that a test can have the same ids again."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or SystemRandom()

    def wamid(self, phone: str) -> str:
        """Of a message at Meta: opaque, with the user's number inside, as theirs are."""
        token = self._random.getrandbits(128).to_bytes(16, "big")
        return "wamid." + b64encode(b"\x1d\x06\x0c" + phone.encode() + b"\x15\x02" + token).decode()

    def call(self) -> str:
        return "wacid." + self.word()

    def number(self) -> str:
        """Of a file at Meta."""
        return "1" + "".join(self._random.choices(_DIGITS, k=15))

    def sid(self, prefix: str) -> str:
        """`SM`, `MM`, `ME` and the rest of Twilio's."""
        return prefix + self.word()

    def word(self) -> str:
        return f"{self._random.getrandbits(128):032x}"
