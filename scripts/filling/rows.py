"""Believable rows of one organisation: three months of calls and their charges, of conversations and deliveries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.core.identity import new_id, new_uuid
from app.core.ledger import month_of
from app.core.times import DAY_US
from catalog.models import Category

DAYS: Final = 90
#: Deliveries are not kept for longer than a month.
DELIVERY_DAYS: Final = 25
CALL_COLUMNS: Final = (
    *("tenant_id", "id", "key_id", "request_id", "endpoint", "category", "model", "streamed", "month", "opened_at"),
    *("state", "hold", "expires_at", "ended_at", "outcome", "charge", "uncollected", "basis", "rule", "receipt"),
    *("session_id", "trace_id", "failure", "input_tokens", "output_tokens", "audio_ms"),
)
ENTRY_COLUMNS: Final = ("id", "tenant_id", "kind", "amount", "ref", "note", "balance_after", "created_at", "type")
CONVERSATION_COLUMNS: Final = (
    *("tenant_id", "id", "bot_id", "channel", "external_id", "status", "duration_seconds", "created_at", "updated_at"),
)
MESSAGE_COLUMNS: Final = ("tenant_id", "id", "conversation_id", "role", "content", "tokens_used", "created_at")
DELIVERY_COLUMNS: Final = (
    *("tenant_id", "id", "webhook_id", "event", "body", "state", "attempts", "due_at", "created_at", "delivered_at"),
    *("status", "error"),
)
Row = tuple[Any, ...]


class Kind(NamedTuple):
    """A model that is called, how often among all, and what its calls are called."""

    model: str
    category: Category
    endpoint: str
    prefix: str
    weight: int


KINDS: Final = (
    Kind("kimi-k2.5-fast", "llm", "/v1/chat/completions", "chatcmpl-", 450),
    Kind("kimi-k2.6", "llm", "/v1/chat/completions", "chatcmpl-", 200),
    Kind("glm-5.2", "llm", "/v1/messages", "msg_", 120),
    Kind("sarvam-30b", "llm", "/v1/responses", "resp_", 80),
    Kind("bge-m3", "embedding", "/v1/embeddings", "emb-", 60),
    Kind("saaras:v3", "stt", "/v1/audio/transcriptions", "stt-", 40),
    Kind("bulbul:v3", "tts", "/v1/audio/speech", "speech-", 30),
    Kind("search:serper", "search", "/v1/search", "search-", 15),
    Kind("lucid-origin", "image", "/v1/images/generations", "img-", 4),
    Kind("glm-4.7-flash", "llm", "/v1/chat/completions", "chatcmpl-", 1),
)
#: (state, outcome, basis, rule, failure, weight)
ENDS: Final = (
    (("posted", "completed", "provider_usage", "B5", ""), 970),
    (("posted", "cancelled", "usage_snapshot", "B3", ""), 12),
    (("voided", "failed", "none", "B6", "upstream_error"), 10),
    (("voided", "failed", "none", "B6", "rate_limit_exceeded"), 6),
    (("expired", "interrupted", "none", "B13", ""), 2),
)
#: As long as a receipt is, and saying as much.
RECEIPT: Final = (
    '{{"ignored":[],"sdk_retries":0,"prompt_estimate":{0},"attempts":[{{"provider":"cloudflare","model":"@cf/vendor/'
    'a-model-of-some-kind","ms":{2}}}],"prices":{{"input_musd":300000,"output_musd":1200000,"cached_musd":75000}},'
    '"first_content_ms":{3},"usage":{{"prompt":{0},"completion":{1},"cached":0,"cache_written":0,"reasoning":0,'
    '"audio_in":0,"audio_out":0}},"finish_reasons":{{"0":"stop"}},"model":"{4}","dropped":[],"total_ms":{2}}}'
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rows they are; `now_us` is the end of the three months."""

    tenant_id: str
    key_ids: tuple[str, ...]
    bot_ids: tuple[str, ...]
    webhook_id: str
    now_us: int


def moments(count: int, now_us: int, days: int, chance: random.Random) -> Iterator[int]:
    """So many times up to now, evenly spread, oldest first."""
    step = days * DAY_US / count
    begin = now_us - days * DAY_US
    return (int(begin + (number + chance.random()) * step) for number in range(count))


def _one_of(ids: tuple[str, ...], chance: random.Random) -> str:
    """The first of them most often."""
    return ids[int(chance.random() ** 2 * len(ids))]


def calls(owner: Owner, count: int, chance: random.Random) -> Iterator[Row]:
    """Most good, some left, some failed; a fifth within sessions, a tenth traced."""
    kinds = chance.choices(KINDS, [kind.weight for kind in KINDS], k=count)
    ends = chance.choices([end for end, _ in ENDS], [weight for _, weight in ENDS], k=count)
    for number, at_us in enumerate(moments(count, owner.now_us, DAYS, chance)):
        kind, (state, outcome, basis, rule, failure) = kinds[number], ends[number]
        took_us = chance.randint(200_000, 9_000_000)
        has_tokens = kind.category in ("llm", "embedding")
        prompt, completion = chance.randint(20, 6000), chance.randint(1, 1500)
        charge = 0 if state != "posted" else 500 + prompt * 30 + completion * 120
        receipt = RECEIPT.format(prompt, completion, took_us // 1000, took_us // 3000, kind.model)
        yield (
            *(owner.tenant_id, new_id(kind.prefix, at_us), _one_of(owner.key_ids, chance)),
            *(f"req_{chance.getrandbits(96):024x}", kind.endpoint, kind.category, kind.model, number % 2),
            *(month_of(at_us), at_us, state, charge + 5000, at_us + 120_000_000, at_us + took_us, outcome, charge, 0),
            *(basis, rule, receipt),
            f"session-{number // 40}" if number % 5 == 0 else "",
            f"trace-{number // 20}" if number % 10 == 0 else "",
            failure,
            prompt if has_tokens else None,
            completion if has_tokens else None,
            chance.randint(1000, 300_000) if kind.category == "stt" else None,
        )


def charges(called: list[Row], balance: int) -> list[Row]:
    """The lines of the ledger that these calls brought, with the balance after each."""
    place = {name: CALL_COLUMNS.index(name) for name in ("tenant_id", "id", "charge", "ended_at")}
    lines: list[Row] = []
    for call in called:
        tenant_id, call_id, charge, ended_us = (call[at] for at in place.values())
        if charge:
            balance -= charge
            entry = (new_uuid(ended_us), tenant_id, "charge", -charge, call_id, "", balance, ended_us, "deduction")
            lines.append(entry)
    return lines


def conversations(owner: Owner, count: int, chance: random.Random) -> Iterator[Row]:
    statuses = chance.choices(("completed", "active", "escalated", "failed"), (80, 15, 4, 1), k=count)
    channels = chance.choices(("whatsapp", "web", "voice"), (70, 25, 5), k=count)
    for number, at_us in enumerate(moments(count, owner.now_us, DAYS, chance)):
        number_called = f"+91{chance.randint(6 * 10**9, 10**10 - 1)}"
        length_s = chance.randint(20, 900) if channels[number] == "voice" else None
        yield (
            *(owner.tenant_id, new_uuid(at_us), _one_of(owner.bot_ids, chance), channels[number], number_called),
            *(statuses[number], length_s, at_us - 600_000_000, at_us),
        )


def messages(owner: Owner, conversation_ids: list[str], count: int, chance: random.Random) -> Iterator[Row]:
    """Half of them in the last conversation, which is the longest; the others wherever."""
    for number, at_us in enumerate(moments(count, owner.now_us, DAYS, chance)):
        conversation_id = conversation_ids[-1] if number % 2 else chance.choice(conversation_ids)
        role, tokens = ("assistant", 40) if number % 4 > 1 else ("user", 0)
        yield owner.tenant_id, new_uuid(at_us), conversation_id, role, "Where is my order? " * 6, tokens, at_us


def deliveries(owner: Owner, count: int, chance: random.Random) -> Iterator[Row]:
    """All over and done, so that nobody tries to send them."""
    body = '{"event":"message.received","data":{"id":"%s","text":"Where is my order?"},"timestamp":"2026"}'
    for at_us in moments(count, owner.now_us, DELIVERY_DAYS, chance):
        failed = chance.random() < 0.02
        state, attempts, status = ("failed", 5, 500) if failed else ("delivered", 1, 200)
        delivered_us = None if failed else at_us + 90_000
        delivery_id = new_uuid(at_us)
        yield (
            *(owner.tenant_id, delivery_id, owner.webhook_id, "message.received", body % delivery_id),
            *(state, attempts, at_us, at_us, delivered_us, status, "status 500" if failed else ""),
        )
