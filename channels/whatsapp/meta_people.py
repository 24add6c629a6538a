"""Who an update of Meta is about. Every id may be missing (wire/whatsapp-meta.md §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels.whatsapp.lenient import LONGEST_NAME, identifier, line, mapping, phone, sequence, user_id
from channels.whatsapp.updates import Person

#: An update comes with its contact, and a body has at most 1000 updates.
MOST_CONTACTS: Final = 2000
NOBODY: Final = Person()


class Contacts:
    """The `contacts` of a change: names, and the other ids of whoever is known by one of them."""

    def __init__(self, entries: object) -> None:
        people = [_contact(mapping(entry)) for entry in sequence(entries)[:MOST_CONTACTS]]
        self._known = {alias: person for person in reversed(people) for alias in person.aliases}
        self._only = people[0] if len(people) == 1 else NOBODY

    def whole(self, person: Person) -> Person:
        """`person` with what the contacts add. A message's own ids stand above theirs."""
        found = next((self._known[alias] for alias in person.aliases if alias in self._known), NOBODY)
        return _joined(person, found)

    def sender(self, said: Person) -> Person:
        """As `whole`; of a message that does not say who sent it, the only contact there is."""
        return self.whole(said) if said.aliases else self._only


def named(address: object, own_id: object, parent_id: object) -> Person:
    """Of the three ids beside each other. `address` is a phone number, except where a user has hidden it."""
    found = phone(address)
    return Person(found, identifier(own_id) or ("" if found else user_id(address)), identifier(parent_id))


def sender(message: Mapping[str, Any]) -> Person:
    return named(message.get("from"), message.get("from_user_id"), message.get("from_parent_user_id"))


def _contact(entry: Mapping[str, Any]) -> Person:
    ids = named(entry.get("wa_id"), entry.get("user_id"), entry.get("parent_user_id"))
    profile = mapping(entry.get("profile"))
    name = line(profile.get("name"), LONGEST_NAME) or line(profile.get("username"), LONGEST_NAME)
    return Person(ids.phone, ids.user_id, ids.parent_id, name)


def _joined(person: Person, more: Person) -> Person:
    return Person(
        person.phone or more.phone,
        person.user_id or more.user_id,
        person.parent_id or more.parent_id,
        person.name or more.name,
    )
