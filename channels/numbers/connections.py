"""What an organisation does with its numbers: connect, change, check at the provider, disconnect (spec.md 15)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import trio

from app.core.bots import WHATSAPP
from app.core.errors import Problem
from app.core.identity import Clock, new_uuid, now_us
from app.core.numbers import Secrets
from app.core.numbers_api import (
    NewNumber,
    Number,
    NumberChange,
    NumberList,
    Provider,
    changed_secrets,
    check_fields,
    check_whole,
    given,
)
from app.core.sealing import Sealer
from app.providers.whatsapp.line import Checked, Line, NotSent, RefusalKind, Refused
from app.storage import bots, numbers, sends
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.numbers import StoredNumber
from channels.bell import Bell
from channels.numbers.number_views import GONE, columns, open_secrets, provider_of, sealed, shown

T = TypeVar("T")
MOST_NUMBERS: Final = 100
CHECK_S: Final = 10.0
DEFAULT_PER_SECOND: Final = 80
#: Refusals that say nothing of the number's secrets.
PASSING: Final[frozenset[RefusalKind]] = frozenset(
    {"app_rate", "number_rate", "pair_rate", "transient", "maintenance", "deleting"}
)
UNREACHABLE: Final = "The provider could not be asked just now. Nothing was changed; try again."
TAKEN: Final = "Another organisation has connected this number. Ask there to disconnect it first."
FOREIGN: Final = (
    'The business account {} does not have the number {}. Nothing was changed: correct waba_id, or set it to "", '
    "then verify again."
)
UNPROVED: Final = (
    "{}: the token may not look at the business account {}. The number works, but news of the account are not taken "
    "for yours. Correct waba_id, or assign the account to the token's system user and give the token "
    "whatsapp_business_management, then verify again."
)


class OpenLines(Protocol):
    """What opens a number's way to its provider."""

    def of(self, tenant_id: str, number: StoredNumber) -> Line: ...


class Connections:
    """Numbers of any tenant; each method names whose. `address` is what the URLs of their webhooks begin with."""

    def __init__(
        self, db: Database, sealer: Sealer, lines: OpenLines, *, senders_bell: Bell, clock: Clock = now_us
    ) -> None:
        self._db = db
        self._sealer = sealer
        self._lines = lines
        self._bell = senders_bell
        self._clock = clock

    async def list(self, tenant_id: str, address: str) -> NumberList:
        """All of them, oldest first."""
        found = await self._db.read(tenant_id, lambda db: connected(db, tenant_id))
        return NumberList([shown(self._sealer, tenant_id, number, address) for number in found])

    async def find(self, tenant_id: str, number_id: str, address: str) -> Number:
        """Raises Problem 404."""
        found = await self._db.read(tenant_id, lambda db: found_number(db, tenant_id, number_id))
        return shown(self._sealer, tenant_id, found, address)

    async def create(self, tenant_id: str, new: NewNumber, address: str) -> Number:
        """Raises Problem 400, 404 for the bot, 409 `conflict` when the organisation has it already or has enough."""
        fields, at = given(new), self._clock()
        check_fields(new.provider, fields)
        check_whole(new.provider, fields)
        secrets = changed_secrets(Secrets(), fields)
        named = columns(new.provider, fields)

        def create(db: Transaction) -> StoredNumber:
            if numbers.find_account(db, tenant_id, new.provider, named["account"]) is not None:
                raise Problem("conflict", "This number is connected already. Change it instead.")
            if len(connected(db, tenant_id)) >= MOST_NUMBERS:
                raise Problem("conflict", f"There are {MOST_NUMBERS} numbers already. Disconnect one first.")
            before = numbers.find_account(db, tenant_id, new.provider, GONE + named["account"])
            number = sealed(self._sealer, tenant_id, _fresh(new.provider, before, at)._replace(**named), secrets)
            number = _linked(db, tenant_id, number)
            (numbers.insert_number if before is None else numbers.update_number)(db, tenant_id, number)
            return number

        return shown(self._sealer, tenant_id, await self._db.write(tenant_id, create), address)

    async def change(self, tenant_id: str, number_id: str, change: NumberChange, address: str) -> Number:
        """What waits to be sent goes on with new secrets. Raises Problem 400, 404, 409."""
        fields, at = given(change), self._clock()

        def update(db: Transaction) -> StoredNumber:
            before = found_number(db, tenant_id, number_id)
            provider = provider_of(before)
            check_fields(provider, fields)
            known = open_secrets(self._sealer, tenant_id, before)
            secrets = changed_secrets(known, fields)
            number = before._replace(**columns(provider, fields), updated_us=at)
            if secrets != known:
                number = sealed(self._sealer, tenant_id, number, secrets)
            check_whole(provider, _needed(number, secrets))
            if number.account != before.account:
                _check_correction(db, tenant_id, before, number)
            if (number.account, number.business, number.secrets) != (before.account, before.business, before.secrets):
                number = number._replace(state="unchecked", error="")
            if provider == "twilio" and number.business != before.business:
                number = number._replace(verified_us=None)  # whose that account is nobody has proved yet
            if "bot_id" in fields and fields["bot_id"] is not None:
                check_bot(db, tenant_id, fields["bot_id"])
            numbers.update_number(db, tenant_id, number)
            return number

        number = await self._db.write(tenant_id, update)
        self._bell.ring()
        return shown(self._sealer, tenant_id, number, address)

    async def verify(self, tenant_id: str, number_id: str, address: str) -> Number:
        """Ask the provider whether the secrets open the number: it is `connected` then, else in `error`.

        Raises Problem 404, 409 when another organisation has it, its business account is none of its own or it was
        changed meanwhile, 503 when the provider cannot be asked.
        """
        number = await self._db.read(tenant_id, lambda db: found_number(db, tenant_id, number_id))
        try:
            checked = await self._ask(tenant_id, number, lambda line: line.check())
        except Refused as refused:
            error, at = f"{refused.code}: {refused.message}"[:500], self._clock()
            await self._db.write(tenant_id, lambda db: numbers.refuse(db, tenant_id, number, error, at))
            return await self.find(tenant_id, number_id, address)
        unproved = await self._unproved(tenant_id, number)
        await self._confirm(tenant_id, number, checked, unproved)
        self._bell.ring()
        return await self.find(tenant_id, number_id, address)

    async def disconnect(self, tenant_id: str, number_id: str) -> None:
        """What waits to be sent is dropped, its secrets are gone, its conversations stay. Raises Problem 404."""
        at = self._clock()

        def write(db: Transaction) -> None:
            number = found_number(db, tenant_id, number_id)
            sends.drop_of_number(db, tenant_id, number_id, "number_error", at)
            if numbers.has_contacts(db, tenant_id, number_id):
                numbers.update_number(db, tenant_id, _emptied(number, at))
            else:
                numbers.delete_number(db, tenant_id, number_id)

        await self._db.write(tenant_id, write)

    async def _unproved(self, tenant_id: str, number: StoredNumber) -> str | None:
        """None when the provider says that the number belongs to the business account that it names; what to do when
        it does not let the secrets look, "" when it names none. Raises Problem 409 when it does not belong there, 503.
        """
        if not number.business:
            return ""
        try:
            belongs = await self._ask(tenant_id, number, lambda line: line.belongs_to(number.business))
        except Refused as refused:
            return UNPROVED.format(refused.code, number.business)
        if not belongs:
            raise Problem("conflict", FOREIGN.format(number.business, number.account), "waba_id")
        return None

    async def _ask(self, tenant_id: str, number: StoredNumber, question: Callable[[Line], Awaitable[T]]) -> T:
        """Raises Refused, or Problem 503."""
        line = self._lines.of(tenant_id, number)
        try:
            with trio.fail_after(CHECK_S):
                return await question(line)
        except Refused as refused:
            if refused.kind in PASSING:
                raise Problem("provider_error", UNREACHABLE, retry_after_s=refused.retry_after_s) from None
            raise
        except (NotSent, trio.TooSlowError):
            raise Problem("provider_error", UNREACHABLE) from None

    async def _confirm(self, tenant_id: str, number: StoredNumber, checked: Checked, unproved: str | None) -> None:
        at = self._clock()
        confirmed = number._replace(
            error=unproved or "",
            phone=checked.phone or number.phone,
            name=number.name or checked.name[:255],
            per_second=checked.per_second or number.per_second,
        )

        def confirm(db: Transaction) -> None:
            if numbers.confirm(db, tenant_id, confirmed, at, proven=unproved is None):
                return
            owner = numbers.whose(db, number.provider, number.account, number.business)
            taken = owner is not None and owner[0] != tenant_id
            raise Problem("conflict", TAKEN if taken else "The number was changed meanwhile. Check it again.")

        await self._db.write(EVERY_TENANT, confirm)


def connected(db: Transaction, tenant_id: str) -> list[StoredNumber]:
    """The organisation's numbers, oldest first, without those that were disconnected."""
    return [number for number in numbers.list_numbers(db, tenant_id) if not number.account.startswith(GONE)]


def found_number(db: Transaction, tenant_id: str, number_id: str) -> StoredNumber:
    """Raises Problem 404."""
    number = numbers.find_number(db, tenant_id, number_id)
    if number is None or number.account.startswith(GONE):
        raise Problem("not_found", "There is no number with this id.")
    return number


def check_bot(db: Transaction, tenant_id: str, bot_id: str) -> None:
    """Raises Problem 404 for a bot that is not there, 400 for one that does not write."""
    bot = bots.find_bot(db, tenant_id, bot_id)
    if bot is None:
        raise Problem("not_found", "There is no bot with this id.", "bot_id")
    if bot.type not in WHATSAPP:
        raise Problem("invalid_value", f"A bot of the type {bot.type} does not answer on WhatsApp.", "bot_id")


def _linked(db: Transaction, tenant_id: str, number: StoredNumber) -> StoredNumber:
    """With its bot: the one that was named, or the one whose configuration names the number."""
    if number.bot_id is not None:
        check_bot(db, tenant_id, number.bot_id)
        return number
    return number._replace(bot_id=bots.find_by_phone(db, tenant_id, number.account, WHATSAPP))


def _fresh(provider: Provider, before: StoredNumber | None, at_us: int) -> StoredNumber:
    """A number that nothing is known of yet; `before` is its row when it was connected once."""
    return StoredNumber(
        id=new_uuid(at_us) if before is None else before.id,
        provider=provider,
        account="",
        business="",
        phone="",
        name="",
        bot_id=None,
        secrets="",
        verify_digest="",
        state="unchecked",
        error="",
        verified_us=None,
        checked_us=None,
        autoreply=True,
        per_second=DEFAULT_PER_SECOND,
        simulated=False,
        created_us=at_us if before is None else before.created_us,
        updated_us=at_us,
    )


def _emptied(number: StoredNumber, at_us: int) -> StoredNumber:
    """What is left for the conversations that name it; its account can be connected again, here or elsewhere."""
    empty = _fresh(provider_of(number), number, at_us)
    return empty._replace(account=GONE + number.account, phone=number.phone, name=number.name, autoreply=False)


def _needed(number: StoredNumber, secrets: Secrets) -> dict[str, str]:
    """What `check_whole` asks for."""
    named = {"phone_number_id": number.account, "phone_number": number.account, "account_sid": number.business}
    return named | {"access_token": secrets.access_token, "auth_token": secrets.auth_token}


def _check_correction(db: Transaction, tenant_id: str, before: StoredNumber, after: StoredNumber) -> None:
    """Raises Problem 409 where the number cannot be another one any more."""
    if before.verified_us is not None or numbers.has_contacts(db, tenant_id, before.id):
        raise Problem(
            "conflict", "This number is in use: connect the other one beside it, or disconnect this one first."
        )
    if numbers.find_account(db, tenant_id, after.provider, after.account) is not None:
        raise Problem("conflict", "The organisation has connected this number already.")
