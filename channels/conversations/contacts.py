"""Who writes: one contact for each person and number, whatever they are called by. Functions of a transaction.

A BSUID is one account of WhatsApp. A phone is a person's only until they change it, and may then be somebody else's:
so it leads to a contact unless that is known to be another account (channels.md section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from app.core.identity import new_uuid
from app.storage import contacts
from app.storage.contacts import StoredContact
from app.storage.database import Transaction
from channels.whatsapp.updates import Person


def find_or_make(db: Transaction, tenant_id: str, number_id: str, person: Person, at_us: int) -> StoredContact:
    """The person's contact, joined from what were several when they turn out to be one. Has at least one alias."""
    known = contacts.known_as(db, tenant_id, number_id, person.aliases)
    own = _own(known, person)
    if own is not None and own.user_id != person.user_id:
        return own  # a late word from the account that they had before
    same = [contact for contact in known.values() if _may_be(contact, person)]
    if not same:
        contact = _new(number_id, person, at_us)
        contacts.insert_contact(db, tenant_id, contact)
    else:
        contact = _write(db, tenant_id, _join(db, tenant_id, same, at_us), person, at_us)
    for alias in person.aliases:
        if alias not in known or known[alias].id != contact.id:
            contacts.set_alias(db, tenant_id, number_id, alias, contact.id)
    for other in known.values():
        if not _may_be(other, person) and other.phone == person.phone != "":
            contacts.update_contact(db, tenant_id, other._replace(phone="", updated_us=at_us))
    return contact


def rename(db: Transaction, tenant_id: str, number_id: str, old: Person, new: Person, at_us: int) -> None:
    """The provider says that `old` is `new` from now on: a new phone, a new account, or both."""
    aliases = (*old.aliases, *new.aliases)
    known = contacts.known_as(db, tenant_id, number_id, aliases) if aliases else {}
    if not known or not new.aliases:
        return
    later = next(iter(_ordered(known, new.aliases)), None)
    if later is not None and later.user_id == new.user_id:
        new = msgspec.structs.replace(new, phone=new.phone or later.phone)
    contact = _join(db, tenant_id, known.values(), at_us)
    if contact.phone and _has_moved(contact, new):
        contacts.drop_alias(db, tenant_id, number_id, f"p:{contact.phone}")
        contact = contact._replace(phone="")
    contact = _write(db, tenant_id, contact, new, at_us, anyway=True)
    for alias in new.aliases:
        contacts.set_alias(db, tenant_id, number_id, alias, contact.id)


def shown_as(contact: StoredContact) -> str:
    """What people see the contact as: the phone if it is known."""
    return contact.phone or contact.user_id or contact.name or contact.id


def _own(known: dict[str, StoredContact], person: Person) -> StoredContact | None:
    """Whose account it is."""
    return known.get(f"u:{person.user_id}")


def _may_be(contact: StoredContact, person: Person) -> bool:
    """Two accounts are two people, even if they have had the same phone."""
    return not (contact.user_id and person.user_id and contact.user_id != person.user_id)


def _has_moved(contact: StoredContact, new: Person) -> bool:
    """Whether the phone that we know is theirs no longer: an account goes with its phone."""
    if new.phone:
        return new.phone != contact.phone
    return bool(new.user_id and contact.user_id) and new.user_id != contact.user_id


def _ordered(known: dict[str, StoredContact], aliases: Sequence[str]) -> list[StoredContact]:
    return [known[alias] for alias in aliases if alias in known]


def _join(db: Transaction, tenant_id: str, same: Iterable[StoredContact], at_us: int) -> StoredContact:
    """The oldest of them, who gets what the others have."""
    oldest, *others = sorted({contact.id: contact for contact in same}.values(), key=_age)
    for other in others:
        contacts.hand_over(db, tenant_id, other.id, oldest.id)
        oldest = _united(oldest, other)
    if others:
        oldest = oldest._replace(updated_us=at_us)
        contacts.update_contact(db, tenant_id, oldest)
    return oldest


def _age(contact: StoredContact) -> tuple[int, str]:
    return contact.created_us, contact.id


def _united(oldest: StoredContact, other: StoredContact) -> StoredContact:
    """What is known of either. The older one's conversation goes on; limits are those of whoever is limited more."""
    opted_out = [at for at in (oldest.opted_out_us, other.opted_out_us) if at is not None]
    return oldest._replace(
        user_id=oldest.user_id or other.user_id,
        phone=oldest.phone or other.phone,
        name=oldest.name or other.name,
        conversation_id=oldest.conversation_id or other.conversation_id,
        window_us=max(oldest.window_us, other.window_us),
        opted_out_us=min(opted_out, default=None),
        tat_us=max(oldest.tat_us, other.tat_us),
        paused_us=max(oldest.paused_us, other.paused_us),
        backoff=max(oldest.backoff, other.backoff),
        notices=_latest(oldest.notices, other.notices),
    )


def _latest(*notices: str) -> str:
    """When each kind of notice was last sent to either."""
    told: dict[str, int] = {}
    for text in notices:
        for kind, at in msgspec.json.decode(text, type=dict[str, int]).items():
            told[kind] = max(at, told.get(kind, at))
    return msgspec.json.encode(told).decode()


def _new(number_id: str, person: Person, at_us: int) -> StoredContact:
    return StoredContact(
        id=new_uuid(at_us),
        number_id=number_id,
        user_id=person.user_id,
        phone=person.phone,
        name=person.name,
        conversation_id=None,
        window_us=0,
        opted_out_us=None,
        tat_us=0,
        paused_us=0,
        backoff=0,
        notices="{}",
        created_us=at_us,
        updated_us=at_us,
    )


def _write(
    db: Transaction, tenant_id: str, contact: StoredContact, person: Person, at_us: int, *, anyway: bool = False
) -> StoredContact:
    """Note what the person is called now; what is not said stays as it was."""
    changed = contact._replace(
        user_id=person.user_id or contact.user_id,
        phone=person.phone or contact.phone,
        name=person.name or contact.name,
    )
    if anyway or changed != contact:
        changed = changed._replace(updated_us=at_us)
        contacts.update_contact(db, tenant_id, changed)
    return changed
