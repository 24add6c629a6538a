"""One question to a WhatsApp provider's API: whether it left, what came back, and words fit to be kept.

Nothing is tried again here: only the caller knows whether a second time does harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from app.core.errors import UpstreamError
from app.providers.body import Question
from app.providers.deadlines import ReaderLate
from app.providers.dialect import masked
from app.providers.upstream import ERROR_BODY_CAP, Upstream
from app.providers.whatsapp.line import NotSent, OutcomeUnknown, Refused

#: channels.md section 7: a send is waited for so long.
ANSWER_S: Final = 10.0
UPLOAD_S: Final = 60.0
#: Longer waits are not believed.
LONGEST_WAIT_S: Final = 3600.0
NO_REASON: Final = "The provider gave no reason."
USER_AGENT: Final = (b"user-agent", b"callmissed-gateway")
Headers = tuple[tuple[bytes, bytes], ...]
#: What may stand in a header.
VISIBLE: Final = re.compile(r"[!-~]+")
#: A shorter word of the user's is found inside of any other.
LEAST_HIDDEN: Final = 5
#: Seven digits or more, however they are written: a phone number, or an id that is nobody's business. Not `(#131047)`.
NUMBERS: Final = re.compile(r"(?<!\(#)(?<!\d)\+?\d(?:[ ().-]{0,2}\d){6,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the decoded JSON, None when there is none that can be read; `wait_s` is its Retry-After."""

    status: int
    body: Any = None
    wait_s: float | None = None

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def get(self, *path: str | int) -> Any:
        """What is found by these keys and positions, None when there is no such place."""
        place = self.body
        for step in path:
            if isinstance(step, str):
                place = place.get(step) if isinstance(place, dict) else None
            else:
                place = place[step] if isinstance(place, list) and step < len(place) else None
        return place

    def text(self, *path: str | int) -> str:
        """The text at a place, "" when it holds none."""
        found = self.get(*path)
        return found if isinstance(found, str) else ""


async def exchange(
    upstream: Upstream,
    question: Question,
    *,
    method: bytes = b"POST",
    within_s: float = ANSWER_S,
    cap: int = ERROR_BODY_CAP,
) -> Answer:
    """Ask and read the answer, `within_s` for all of it. Raises NotSent as long as nothing has left, OutcomeUnknown
    when no status came back after that. Cancel closes the socket.
    """
    request = upstream.request(method, question.path, question.headers, question.body, within_s)
    try:
        with trio.fail_after(within_s):
            async with request as reply:
                return _answer(reply.status, reply.headers.get("retry-after", ""), await reply.read(cap))
    except (UpstreamError, ReaderLate, trio.TooSlowError) as error:
        late = not isinstance(error, UpstreamError) or error.detail.endswith("deadline passed")
    if request.asked:
        raise OutcomeUnknown(f"The provider had the request, and {'no answer came' if late else 'broke off'}.")
    raise NotSent(f"The provider could not be reached{' in time' if late else ''}.")


async def harmless(
    upstream: Upstream,
    question: Question,
    *,
    method: bytes = b"POST",
    within_s: float = ANSWER_S,
    cap: int = ERROR_BODY_CAP,
) -> Answer:
    """Like `exchange`, for what may be asked twice: whatever kept the answer away is NotSent."""
    try:
        return await exchange(upstream, question, method=method, within_s=within_s, cap=cap)
    except OutcomeUnknown as unknown:
        raise NotSent(str(unknown)) from None


def raised(failure: Refused | OutcomeUnknown) -> Refused | NotSent:
    """The failure of something that may be asked twice."""
    return failure if isinstance(failure, Refused) else NotSent(str(failure))


def reason(text: str, secrets: Iterable[str], hidden: Iterable[str] = ()) -> str:
    """A provider's words for the tenant, on one line, without secrets, numbers and what the user has written or is."""
    words = {*secrets, *(word for word in hidden if len(word) >= LEAST_HIDDEN)} - {""}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "***")
    return masked(NUMBERS.sub("***", text), "") or NO_REASON


def _answer(status: int, retry_after: str, body: bytes) -> Answer:
    wait_s = min(float(retry_after), LONGEST_WAIT_S) if re.fullmatch(r"[0-9]{1,6}", retry_after.strip()) else None
    try:
        return Answer(status, msgspec.json.decode(body), wait_s)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(status, None, wait_s)
