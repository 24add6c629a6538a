"""Credits as the platform API shows them (spec.md section 16): transactions, their types and words, balance, budget."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.core.amounts import Amount
from app.core.chat_fields import Body, Wire
from app.core.times import Cursor, PageSize

EntryType = Literal["signup_bonus", "purchase", "deduction", "refund", "plan_grant", "admin", "coupon"]
#: The `ref` of the grant that a new organisation is given once.
SIGNUP_BONUS: Final = "signup_bonus"
#: Grants whose `ref` begins so are of these types; others were given by an operator.
GRANTS: Final[dict[str, EntryType]] = {"plan:": "plan_grant", "coupon:": "coupon"}
RATE: Final = "1 credit = INR 1"
_CALLS: Final = {
    "llm": "LLM call",
    "stt": "STT call",
    "tts": "TTS call",
    "image": "Image call",
    "embedding": "Embedding call",
    "search": "Search",
}
_TYPES: Final[dict[EntryType, str]] = {
    "signup_bonus": "Signup bonus",
    "purchase": "Purchase",
    "deduction": "Call",
    "refund": "Refund",
    "plan_grant": "Credits of the plan",
    "admin": "Given by an operator",
    "coupon": "Coupon",
}


def entry_type(kind: str, ref: str) -> EntryType:
    """What a line of the ledger is called outside, by its kind and the form of its `ref`."""
    match kind:
        case "charge":
            return "deduction"
        case "purchase" | "refund":
            return kind
        case "grant" if ref == SIGNUP_BONUS:
            return "signup_bonus"
        case "grant":
            return next((name for begin, name in GRANTS.items() if ref.startswith(begin)), "admin")
    return "admin"


def describe(kind: EntryType, note: str, category: str | None, model: str | None) -> str:
    """What a line was for, in words: its note, the model that was called, or what its type says."""
    if category is not None:
        return f"{_CALLS.get(category, category)}: {model}"
    return note or _TYPES[kind]


def real_balance(balance_ucr: int, bonus_ucr: int, spent_ucr: int) -> int:
    """The balance without what is left of the signup bonus, which is spent before everything else.

    `spent_ucr` is all that calls have ever cost, less refunds.
    """
    return max(0, balance_ucr - max(0, bonus_ucr - max(0, spent_ucr)))


class Balance(msgspec.Struct, frozen=True):
    """`real_balance` is without the unspent signup bonus, which is spent first."""

    balance: float
    real_balance: float
    currency: str = "INR"
    rate: str = RATE


class Pack(msgspec.Struct, frozen=True):
    id: str
    name: str
    credits: int
    price: int
    currency: str = "INR"


class PackList(msgspec.Struct, frozen=True):
    data: list[Pack]


class TransactionQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None
    since_days: Annotated[int, Meta(ge=1, le=365, description="today and so many days before it, in UTC")] | None = None
    type: EntryType | None = None


class Transaction(msgspec.Struct, frozen=True):
    """A movement of credits; `reference_id` is the request of a deduction, the reference of anything else."""

    id: str
    amount: float
    balance_after: float
    type: EntryType
    description: str
    reference_id: str
    created_at: str


class TypeSummary(msgspec.Struct, frozen=True):
    count: int
    total: float


class TransactionPage(msgspec.Struct, frozen=True):
    """`summary_by_type` is of all days asked for, whatever page and type this is."""

    data: list[Transaction]
    next_cursor: str | None
    summary_by_type: dict[EntryType, TypeSummary]


class BudgetState(msgspec.Struct, frozen=True):
    """`period_start` is the calendar month, in UTC."""

    monthly_budget_credits: float | None
    period_start: str
    period_used_credits: float
    remaining_credits: float | None
    alerts_enabled: bool
    low_balance_credits: float | None


class BudgetChange(Body, frozen=True):
    """The body of PUT /api/v1/credits/budget: what is left out stays as it is, null takes it away."""

    monthly_budget_credits: Annotated[Amount | UnsetType | None, Meta(description="null is no limit")] = UNSET
    alerts_enabled: Annotated[bool, Meta(description="whether webhooks are told")] | UnsetType = UNSET
    low_balance_credits: Annotated[Amount | UnsetType | None, Meta(description="`credits.low` is sent below")] = UNSET
