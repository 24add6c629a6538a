"""Twilio's error codes and what each means for us (wire/whatsapp-twilio.md section 6). Pure.

Twilio advises against logic on fine codes because they shift: what is not in the table fails without a retry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.providers.whatsapp.exchange import Answer, reason
from app.providers.whatsapp.line import OutcomeUnknown, RefusalKind, Refused

KINDS: Final[dict[int, RefusalKind]] = {
    20003: "account",
    20429: "transient",
    21211: "recipient",
    21614: "recipient",
    21610: "opted_out",
    21617: "content",
    21658: "content",
    63005: "content",
    63016: "window",
    63018: "number_rate",
    63019: "media",
    63021: "content",
    63024: "recipient",
    63049: "marketing_cap",
}
#: What a status means when its code is not known, or none came with it.
BY_STATUS: Final[dict[int, RefusalKind]] = {401: "account", 429: "transient"}


def kind_of(code: int) -> RefusalKind:
    """By the code alone; it is the same in a response and in a status callback."""
    return KINDS.get(code, "other")


def failure(answer: Answer, secrets: Iterable[str], hidden: Iterable[str] = ()) -> Refused | OutcomeUnknown:
    """What an answer that is not a success says. A fault of Twilio's may have come after the message had left."""
    code = answer.get("error_code") if answer.good else answer.get("code")
    code = code if isinstance(code, int) and not isinstance(code, bool) else None
    words = reason(answer.text("error_message") or answer.text("message"), secrets, hidden)
    if code in KINDS:
        return Refused(KINDS[code], str(code), words, answer.wait_s)
    if answer.status >= 500 or (answer.good and code is None):
        return OutcomeUnknown(f"The provider answered {answer.status} and did not say what became of it.")
    fallback: RefusalKind = "account" if answer.status == 403 and code is None else "other"
    shown = f"http_{answer.status}" if code is None else str(code)
    return Refused(BY_STATUS.get(answer.status, fallback), shown, words, answer.wait_s)
