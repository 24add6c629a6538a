"""What a password may be. The bounds of its length are in the types of `core.accounts`."""

from __future__ import annotations

from typing import Final

from app.core.errors import Problem

FEWEST_DIFFERENT: Final = 4
#: Those of the commonest that are long enough: they are the first that anybody tries.
COMMON: Final = frozenset(
    {
        *("0123456789", "1234567890", "12345678910", "0987654321", "9876543210", "1029384756", "1q2w3e4r5t"),
        *("1q2w3e4r5t6y", "1qaz2wsx3edc", "qwerty1234", "qwerty12345", "qwerty123456", "qwertyuiop", "qwertyuiop123"),
        *("asdfghjkl;", "asdfghjkl123", "abcdefghij", "abcd123456", "abc1234567", "password12", "password123"),
        *("password1234", "password12345", "password@123", "passw0rd123", "p@ssw0rd123", "p@ssword123"),
        *("passwordpassword", "admin12345", "admin123456", "administrator", "welcome123", "welcome1234", "welcome@123"),
        *("letmein123", "letmein1234", "iloveyou123", "iloveyou12", "india12345", "india@1234", "changeme123"),
        *("football123", "superman123", "basketball", "sunshine123", "princess123", "challenge123", "unknown123"),
    }
)


def check_password(password: str, email: str, param: str = "password") -> None:
    """Refuse what somebody who knows the address, or nothing at all, would guess. Raises Problem 400 that says why."""
    folded = password.strip().casefold()
    why = ""
    if folded == email:
        why = "is your e-mail address, which others know"
    elif folded in COMMON:
        why = "is one of the commonest passwords, which are tried first"
    elif len(set(folded)) < FEWEST_DIFFERENT:
        why = f"has fewer than {FEWEST_DIFFERENT} different characters"
    if why:
        raise Problem("invalid_value", f"This password {why}. Use another: a few words that only you know.", param)
