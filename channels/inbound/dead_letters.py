"""Dead letters: what came in well signed and could not be used. People look at them, and have them tried again.

What the provider refused of what we wrote is there to be looked at only: it would be refused again, and nothing says
whether the user still waits for it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app.core import dead_letters as wire
from app.core.dead_letters import DeadLetterDetail, DeadLetterPage, DeadLetterQuery
from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.times import Place, iso_or_none, iso_time, read_cursor, write_cursor
from app.storage import dead_letters as storage
from app.storage import inbox, numbers
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.dead_letters import SHOWN, DeadLetter
from app.storage.numbers import StoredNumber
from channels.bell import Bell
from channels.inbound.keeping import NOBODY, event_of
from channels.inbound.letters import read_letter
from channels.whatsapp import meta, twilio
from channels.whatsapp.updates import Arrival, Broken

UNREADABLE: Final = "It still cannot be read: {}"
REFUSED: Final = (
    "The provider refused this message as we wrote it, and would again: nothing is sent from here. See to what its "
    "reason names, then write it anew with POST /api/v1/whatsapp/messages."
)
NO_NUMBER: Final = "No connected number is {} at {}. Connect it first."


class DeadLetters:
    """Of any tenant; each method names whose. `NOBODY` stands for the operator's: of numbers that nobody has."""

    def __init__(self, db: Database, *, bell: Bell, clock: Clock = now_us) -> None:
        self._db = db
        self._bell = bell
        self._clock = clock

    async def page(self, tenant_id: str, query: DeadLetterQuery) -> DeadLetterPage:
        """Newest first."""
        after = read_cursor(query.before)
        found = await self._db.read(
            tenant_id, lambda db: storage.page(db, tenant_id, after=after, limit=query.limit + 1)
        )
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].received_us, data[-1].id)) if len(found) > query.limit else None
        return DeadLetterPage([_shown(each) for each in data], cursor)

    async def page_of_all(self, before: str | None, limit: int) -> tuple[list[tuple[str, wire.DeadLetter]], str | None]:
        """For the operator: everybody's, newest first, with the organisation's name; and the cursor of the next."""
        after = read_cursor(before)
        found = await self._db.read(EVERY_TENANT, lambda db: storage.page_of_all(db, after=after, limit=limit + 1))
        data = found[:limit]
        last = data[-1][1] if len(found) > limit else None
        cursor = None if last is None else write_cursor(Place(last.received_us, last.id))
        return [(name, _shown(letter)) for name, letter in data], cursor

    async def find(self, tenant_id: str, letter_id: str) -> DeadLetterDetail:
        """Raises Problem 404."""
        return _whole(await self._db.read(tenant_id, lambda db: _found(db, tenant_id, letter_id)))

    async def replay(self, tenant_id: str, letter_id: str) -> DeadLetterDetail:
        """Try it again: what was used meanwhile stays as it is. Raises Problem 404; 409 when it cannot be used yet, or
        is a message of ours."""
        at = self._clock()
        scope = tenant_id if tenant_id != NOBODY else EVERY_TENANT

        def job(db: Transaction) -> DeadLetter:
            letter = _found(db, tenant_id, letter_id)
            if letter.message_id:
                raise Problem("conflict", REFUSED)
            for arrival in _arrivals(letter):
                owner, number = _owner(db, tenant_id, letter, arrival)
                inbox.revive(db, owner, event_of(number.id, arrival), at)
            storage.set_replayed(db, tenant_id, letter_id, at)
            return letter._replace(replayed_us=at)

        letter = await self._db.write(scope, job)
        self._bell.ring()
        return _whole(letter)


def _found(db: Transaction, tenant_id: str, letter_id: str) -> DeadLetter:
    letter = storage.find(db, tenant_id, letter_id)
    if letter is None:
        raise Problem("not_found", "There is no dead letter with this id.")
    return letter


def _arrivals(letter: DeadLetter) -> list[Arrival]:
    """What is in it, read anew if it could not be read before. Raises Problem 409."""
    known = read_letter(letter.body)
    if known is not None:
        return known
    parts = meta.read(letter.body.encode()) if letter.provider == "meta" else [_read_form(letter.body)]
    broken = [part.reason for part in parts if isinstance(part, Broken)]
    if broken or not parts:
        raise Problem("conflict", UNREADABLE.format(broken[0] if broken else "it holds nothing."))
    return [part for part in parts if isinstance(part, Arrival)]


def _read_form(body: str) -> Arrival | Broken:
    try:
        params = msgspec.json.decode(body, type=list[tuple[str, str]])
    except msgspec.MsgspecError:
        return Broken("", "It is no form.", body)
    return twilio.read(params)


def _owner(db: Transaction, tenant_id: str, letter: DeadLetter, arrival: Arrival) -> tuple[str, StoredNumber]:
    """Whose it is by now: of a tenant's letter that tenant's number, of the operator's whoever has connected it."""
    if tenant_id == NOBODY:
        found = (
            numbers.whose(db, letter.provider, arrival.account, arrival.business)
            if arrival.account
            else numbers.whose_business(db, letter.provider, arrival.business)
        )
    else:
        named = arrival.account or letter.account
        number = (
            numbers.find_account(db, tenant_id, letter.provider, named)
            if named
            else numbers.find_number(db, tenant_id, letter.number_id)
        )
        found = None if number is None else (tenant_id, number)
    if found is None:
        raise Problem("conflict", NO_NUMBER.format(arrival.account or arrival.business or "named", letter.provider))
    return found


def _shown(letter: DeadLetter) -> wire.DeadLetter:
    return wire.DeadLetter(
        id=letter.id,
        number_id=letter.number_id or None,
        message_id=letter.message_id or None,
        provider=letter.provider,
        account=letter.account,
        reason=letter.reason,
        excerpt=letter.body[:SHOWN],
        received_at=iso_time(letter.received_us),
        replayed_at=iso_or_none(letter.replayed_us),
    )


def _whole(letter: DeadLetter) -> DeadLetterDetail:
    shown = _shown(letter)
    return DeadLetterDetail(**msgspec.structs.asdict(shown), body=letter.body)
