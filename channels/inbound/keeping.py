"""What a webhook has brought, divided among the tenants, and kept in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from app.core.identity import new_uuid
from app.storage import dead_letters, inbox
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.dead_letters import DeadLetter
from app.storage.inbox import NewEvent
from app.storage.numbers import StoredNumber
from channels.inbound.letters import arrivals_body
from channels.whatsapp.updates import Arrival, Broken

#: What is nobody's is the operator's to look at.
NOBODY: Final = ""
UNKNOWN_NUMBER: Final = "unknown number"
OTHER_NUMBER: Final = "for another number than the URL's"
#: Whose something is: (tenant, number), or None.
Owner = Callable[[Arrival | Broken], tuple[str, StoredNumber] | None]


@dataclass(frozen=True, slots=True)
class Brought:
    """What to keep: updates and dead letters, by tenant."""

    events: dict[str, list[NewEvent]] = field(default_factory=dict)
    letters: dict[str, list[DeadLetter]] = field(default_factory=dict)


def divide(
    provider: str, parts: Iterable[Arrival | Broken], owner: Owner, at_us: int, *, url: tuple[str, StoredNumber] | None
) -> Brought:
    """Each part to whom it belongs. `url` is whose URL it came to: what is not that number's is a letter to them."""
    brought = Brought()
    strays: dict[str, list[Arrival]] = {}
    for part in parts:
        owned = owner(part)
        match part:
            case Arrival() if owned is not None:
                tenant_id, number = owned
                brought.events.setdefault(tenant_id, []).append(event_of(number.id, part))
            case Arrival():
                strays.setdefault(part.account, []).append(part)
            case Broken():
                tenant_id, number_id = (NOBODY, "") if owned is None else (owned[0], owned[1].id)
                letter = DeadLetter(new_uuid(at_us), number_id, provider, part.account, part.reason, part.body, at_us)
                brought.letters.setdefault(tenant_id, []).append(letter)
    for account, arrivals in strays.items():
        tenant_id, number_id, reason = (
            (NOBODY, "", UNKNOWN_NUMBER) if url is None else (url[0], url[1].id, OTHER_NUMBER)
        )
        body = arrivals_body(arrivals)
        letter = DeadLetter(new_uuid(at_us), number_id, provider, account, reason, body, at_us)
        brought.letters.setdefault(tenant_id, []).append(letter)
    return brought


async def keep(db: Database, brought: Brought, at_us: int) -> int:
    """Write it down, all or nothing; how many updates were new. Raises Problem `storage_unavailable`."""
    tenants = brought.events.keys() | brought.letters.keys()

    def job(db: Transaction) -> int:
        for tenant_id, letters in brought.letters.items():
            for letter in letters:
                dead_letters.bury(db, tenant_id, letter)
        return sum(inbox.insert(db, tenant_id, events, at_us) for tenant_id, events in brought.events.items())

    if not tenants:
        return 0
    return await db.write(tenants.pop() if len(tenants) == 1 else EVERY_TENANT, job)


def event_of(number_id: str, arrival: Arrival) -> NewEvent:
    """As the inbox keeps it."""
    update = arrival.update
    kind = str(type(update).__struct_config__.tag)
    return NewEvent(number_id, arrival.key, kind, msgspec.json.encode(update).decode())
