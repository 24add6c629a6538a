"""What is left of the credits, and the receipt of one call (spec.md section 12)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from app.core.ledger import Basis, Outcome, State

Credits = Annotated[float, Meta(description="credits, to six places")]


class Balance(Struct, frozen=True, kw_only=True):
    balance: Credits
    held: Annotated[float, Meta(description="held by your calls in flight")]
    available: Annotated[float, Meta(description="what is left for further calls")]


class ReceiptHold(Struct, frozen=True, kw_only=True):
    state: State
    credits: Credits


class ReceiptPrices(Struct, frozen=True, kw_only=True):
    """US dollars per million tokens, or per unit."""

    input: float | UnsetType = UNSET
    output: float | UnsetType = UNSET
    price: float | UnsetType = UNSET
    unit: str | UnsetType = UNSET


class ReceiptAttempt(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    status: int | None
    code: str | None
    ms: int


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of one call and what it cost. Times are milliseconds."""

    id: str
    request_id: str
    model: str | None
    requested_model: str | None
    endpoint: str
    provider_name: str | None
    created_at: str
    ended_at: str | None
    streamed: bool
    cancelled: bool
    cancelled_at: Annotated[str | None, Meta(description="how far the call was when its client left")]
    outcome: Outcome | None
    finish_reason: str | None
    tokens_prompt: int | None
    tokens_completion: int | None
    native_tokens_reasoning: int | None
    native_tokens_cached: int | None
    tokens_prompt_estimate: int | None
    latency: Annotated[float | None, Meta(description="until the first content")]
    generation_time: float | None
    total_cost: Annotated[float, Meta(description="US dollars")]
    credits: Credits
    uncollected: Annotated[float, Meta(description="cost that nobody had credits for: never a debt")]
    hold: ReceiptHold
    units: Annotated[dict[str, float] | None, Meta(description="what was measured where tokens are not the unit")]
    settlement_basis: Basis | None
    settlement_rule: str | None
    prices: ReceiptPrices | None
    attempts: list[ReceiptAttempt]
    ignored_parameters: list[str]
    dropped_parameters: list[str]
    sdk_retries: int
    api_key_id: str


class ReceiptReply(Struct, frozen=True, kw_only=True):
    data: Receipt


class Alive(Struct, frozen=True, kw_only=True):
    status: Literal["ok"]


class ReadinessCheck(Struct, frozen=True, kw_only=True):
    status: str
    digest: str | UnsetType = UNSET
    p99_ms: int | UnsetType = UNSET


class ReadinessReply(Struct, frozen=True, kw_only=True):
    status: Literal["ready", "not_ready"]
    checks: dict[str, ReadinessCheck]
