"""Meta's error codes and what each means for us (wire/whatsapp-meta.md section 13). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.providers.whatsapp.exchange import Answer, reason
from app.providers.whatsapp.line import OutcomeUnknown, RefusalKind, Refused

#: The rows of the table, by what is to be done. Whatever is not here fails without a retry.
_ROWS: Final[dict[RefusalKind, tuple[int, ...]]] = {
    "account": (
        *(0, 190),  # token invalid or expired
        *(3, 10, *range(200, 300), 131005),  # permission missing
        *(33, 133010, 131045),  # number unknown, not registered, certificate
        *(131031, 368, 130497, 131037, 131042, 131064),  # locked, policy, country, display name, payment
        *(133016, 133005, 133006, 133008, 133009),  # registration and PIN: an owner or admin has to see to it
    ),
    "app_rate": (4, 80007),
    "number_rate": (130429,),
    "pair_rate": (131056,),
    "spam": (131048,),
    "maintenance": (131057,),
    "transient": (1, 2, 131000, 131016, 133004, 133000, 135000),
    "deleting": (133015,),
    "window": (131047,),
    "recipient": (131026, 131021, 131030, 130472),  # cannot be reached, is the sender, not on the list, experiment
    "marketing_cap": (131049,),
    "opted_out": (131050,),
    "needs_phone": (131062,),
    "content": (100, 131008, 131009, 131051),
    "media": (131052, 131053),
    "template": (
        *(132000, 132005, 132012, 132068, 132069, 132001),  # parameters, length, format, flow, missing
        *(134011, 131055, 134100, 134101, 134102),  # terms of payments, marketing messages
    ),
    "template_off": (132007, 132015, 132016),
}
KINDS: Final[dict[int, RefusalKind]] = {code: kind for kind, codes in _ROWS.items() for code in codes}
LONGEST_CODE: Final = 9
#: What a status means when no code came with it.
BY_STATUS: Final[dict[int, RefusalKind]] = {401: "account", 403: "account", 429: "app_rate"}


def kind_of(code: int) -> RefusalKind:
    """By the code alone; it is the same in a response and in a status."""
    return KINDS.get(code, "other")


def failure(answer: Answer, secrets: Iterable[str], hidden: Iterable[str] = ()) -> Refused | OutcomeUnknown:
    """What an answer that is not a success says. Without an error of Meta's a 5xx says nothing at all."""
    code = _code(answer.get("error", "code"))
    details = answer.text("error", "error_data", "details") or answer.text("error", "message")
    words = reason(details, secrets, hidden)
    if code is not None:
        kind: RefusalKind = "account" if answer.status == 401 and code not in KINDS else kind_of(code)
        return Refused(kind, str(code), words, answer.wait_s)
    if answer.status >= 500 or answer.good:
        return OutcomeUnknown(f"The provider answered {answer.status} and did not say what became of it.")
    return Refused(BY_STATUS.get(answer.status, "other"), f"http_{answer.status}", words, answer.wait_s)


def _code(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= LONGEST_CODE:
        return int(value)
    return value if isinstance(value, int) else None
