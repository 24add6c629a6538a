"""The providers' book of a day, as the checks read it: what reached a phone, what it said, what was told of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from scripts.simulator.whatsapp.state import Number, Sent
from tests.channels.day.model import TOKEN
from tests.channels.day.speech import spoken_words
from tests.channels.day.world import Day

ANSWER: Final = re.compile(r"answer \d+n to ((?:q\d+z ?)*)")


def accepted(day: Day, account: str) -> list[Sent]:
    """What reached the phones of a number's users, in its order."""
    return [sent for sent in day.number(account).sends if sent.outcome == "accepted"]


def all_accepted(day: Day) -> Iterator[Sent]:
    for business in day.businesses:
        yield from accepted(day, business.account)


def is_spoken(sent: Sent) -> bool:
    return sent.kind in ("audio", "media")


def words_of(day: Day, sent: Sent) -> str:
    """What a phone shows or plays."""
    if not is_spoken(sent):
        return sent.text
    if links := sent.body.get("links"):
        return spoken_words(day.fetched.get(links[0], b""))
    file = day.phones.files.get(sent.body.get("id", ""), sent.at)
    return "" if file is None else spoken_words(file.data)


def answered_tokens(words: str) -> list[str]:
    """What an answer of the model's was asked; none for other texts and later parts."""
    found = ANSWER.match(words)
    return TOKEN.findall(found[1]) if found else []


def told_statuses(number: Number) -> Callable[[Sent], list[str]]:
    """Of a message of this number: the statuses that we have taken. Meta tells until it is believed."""
    taken = {post.about for post in number.posted if post.outcome == "delivered"}

    def told(sent: Sent) -> list[str]:
        statuses = [status for _, status in sent.statuses]
        return [each for each in statuses if number.provider == "meta" or f"{each} {sent.id}" in taken]

    return told


def lost_messages(number: Number) -> set[str]:
    """Messages that the provider has given up to tell us of."""
    gave_up: set[str] = set()
    taken: set[str] = set()
    for post in number.posted:
        message_id = post.about.rpartition(" ")[2]
        (taken if post.outcome == "delivered" else gave_up).add(message_id)
    return gave_up - taken
