"""What is done about one of ours that the provider refuses at once, with the statuses that may tell the same."""

from __future__ import annotations

import pytest

from app.core.bot_config import TemplateChoice
from app.providers.whatsapp.line import MediaContent, RefusalKind, Refused, Sent, TemplateContent
from app.storage import dead_letters, fallback_template, sends
from app.storage.database import Transaction
from app.storage.sends import Told
from channels.outbound.outcomes import Outcome, record
from channels.outbound.taking import Taken
from tests.channels.sending import Shop, open_shop
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0

pytestmark = ON_BOTH


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


def ends(db: Transaction, shop: Shop, taken: Taken, outcome: Outcome) -> bool:
    return record(db, shop.tenant_id, taken, outcome, DAY_0, 1.0)


def test_what_we_wrote_wrongly_is_a_dead_letter_and_other_refusals_are_not(db: Transaction, shop: Shop) -> None:
    kinds: tuple[RefusalKind, ...] = ("content", "recipient", "template")
    for kind in kinds:
        shop.say(db, f"a {kind}")
        ends(db, shop, shop.take_one(db), Refused(kind, "131009", "Not so"))
        shop.open(db)
    (letter,) = dead_letters.page(db, shop.tenant_id, after=None, limit=10)
    assert (letter.reason, letter.message_id) == ("refused: 131009: Not so", shop.messages(db, "id")[0])
    assert '"body":"a content"' in letter.body
    assert shop.rows(db) == ["failed"] * 3


def test_a_status_of_what_was_refused_already_is_no_second_letter(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    taken = shop.take_one(db)
    told = Told("wamid.1", one, "failed", "131009", "Not so", DAY_0)
    sends.apply_status(db, shop.tenant_id, shop.number_id, told, DAY_0)
    assert not ends(db, shop, taken, Refused("content", "131009", "Not so"))
    shop.open(db)
    (two,) = shop.say(db, "two")
    ends(db, shop, shop.take_one(db), Refused("content", "131009", "Not so"))
    again = Told("wamid.2", two, "failed", "131009", "Not so", DAY_0)
    sends.apply_status(db, shop.tenant_id, shop.number_id, again, DAY_0)
    assert len(dead_letters.page(db, shop.tenant_id, after=None, limit=10)) == 2


def test_a_template_that_is_refused_at_once_is_off(db: Transaction) -> None:
    shop = open_shop(db, config={"fallback_template": {"name": "hello"}})
    shop.say(db, TemplateContent("hello"), origin="template")
    ends(db, shop, shop.take_one(db), Refused("template_off", "132016", "Disabled"))
    choice = TemplateChoice(name="hello")
    assert fallback_template.why_off(db, shop.tenant_id, shop.number_id, choice) == "132016: Disabled"
    assert (shop.rows(db), shop.flag(db)) == (["failed"], "template_off")


def test_the_answer_to_a_file_that_has_been_replaced_changes_nothing(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, MediaContent("audio", link="https://us/1", voice=True, otherwise="in words"))
    taken = shop.take_one(db)
    told = Told("SM.file", one, "failed", "63019", "No file", DAY_0)
    sends.apply_status(db, shop.tenant_id, shop.number_id, told, DAY_0)
    ends(db, shop, taken, Sent("SM.file"))
    text = shop.take_one(db)
    ends(db, shop, text, Sent("SM.text"))
    assert set(shop.rows(db, "kind, state, provider_id")) == {("media", "dropped", ""), ("text", "accepted", "SM.text")}
    assert (shop.messages(db), shop.messages(db, "provider_id")) == (["accepted"], ["SM.text"])
