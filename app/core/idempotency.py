"""What a repeated request gets: by its `Idempotency-Key`, its fingerprint and what became of the first (spec.md 17)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from app.core.errors import Problem

HEADER: Final = "Idempotency-Key"
LONGEST_KEY: Final = 255
KEEP_US: Final = 24 * 3600 * 1_000_000
#: How long a claim without a call may run: until its admission, or the whole of a write that costs nothing.
LEASE_US: Final = 30 * 1_000_000
RETRY_S: Final = 2
#: Besides 5xx: what a repeat may find changed.
NOT_KEPT: Final = frozenset({401, 402, 429})
BAD_KEY: Final = f"{HEADER} must be 1 to {LONGEST_KEY} printable ASCII characters, such as a UUID."
RUNNING: Final = f"The first request with this {HEADER} is still running. Repeat this one until it has its answer."
OTHER: Final = f"This {HEADER} was used for another request within 24 hours. Use a new key for each new request."
CUT: Final = (
    "The call {} of this key was cut off by its client and stays charged for what was generated. Its answer is not "
    "kept: use a new key to ask again."
)
TOO_LARGE: Final = "The answer of the call {} was too large to keep and stays charged. Use a new key to ask again."

Verdict = Literal["run", "replay"]
Standing = Literal["free", "running", "answered", "cut"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's claim to a key: the key's digest, the request's fingerprint, and the id of this try of it."""

    key: str
    fingerprint: str
    token: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of a key, and how its call stands; `status` 0 while there is no answer, `call_id` "" without one."""

    fingerprint: str
    lease_us: int
    expires_us: int
    status: int
    has_reply: bool
    call_id: str
    call_state: str
    charge: int


def key_digest(text: str) -> str:
    """What a key is known by: clients may put anything into it. Raises Problem 400."""
    if not (0 < len(text) <= LONGEST_KEY and text.isascii() and text.isprintable()):
        raise Problem("invalid_value", BAD_KEY, HEADER)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(method: str, path: str, *parts: bytes) -> str:
    """SHA-256 over all of a request that matters; where one part ends and the next begins matters too."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), *parts):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def is_kept(status: int) -> bool:
    """Whether a repeat gets this answer again; otherwise it runs."""
    return status < 500 and status not in NOT_KEPT


def standing(known: Known, at_us: int) -> Standing:
    """What became of the first request.

    Its call tells: one that was charged without an answer that could be kept with the charge was cut off; one that
    ended free of charge, by whosever fault, leaves its key free.
    """
    if known.call_state == "held":
        return "running"
    if known.expires_us <= at_us:
        return "free"
    if known.status:
        return "answered"
    if known.call_id:
        return "cut" if known.charge else "free"
    return "running" if known.lease_us > at_us else "free"


def judge(known: Known | None, claim: Claim, at_us: int) -> Verdict:
    """What a request with this key may do. Raises Problem 409."""
    stands = "free" if known is None else standing(known, at_us)
    if known is None or stands == "free":
        return "run"
    if known.fingerprint != claim.fingerprint:
        raise Problem("idempotency_key_reused", OTHER, HEADER)
    if stands == "running":
        raise in_progress()
    if stands == "answered" and known.has_reply:
        return "replay"
    message = CUT if stands == "cut" else TOO_LARGE
    receipt = {"X-Generation-Id": known.call_id}
    raise Problem("idempotency_key_reused", message.format(known.call_id), HEADER, headers=receipt)


def in_progress() -> Problem:
    """The one refusal that an SDK should try again by itself."""
    return Problem("idempotency_in_progress", RUNNING, HEADER, retry_after_s=RETRY_S)
