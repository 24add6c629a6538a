"""What a provider can be asked beside its answers: models, key, credits, and an answer's usage after the fact."""

from __future__ import annotations

import pytest

from scripts.simulator.book import Book
from scripts.simulator.dialects.dialect import Tokens
from scripts.simulator.dialects.openrouter import cost
from scripts.simulator.triggers import TRIGGERS
from tests.simulator.asking import a_record, ask_surface, body_of


def open_book(*, running: bool = False) -> Book:
    """A book with an answer of each of two providers, both left by their client unless they are still `running`."""
    book = Book()
    for dialect in ("openrouter", "sarvam"):
        record = a_record(dialect)
        record.prompt_tokens, record.tokens_sent, record.model = 100, 20, "m"
        record.first_byte, record.close_seen = 0.25, 1.0
        book.enter(record)
        book.name_answer(record, f"gen-{dialect}")
        if not running:
            book.close(record, "peer_closed")
    return book


@pytest.mark.parametrize("path", ["/openrouter/api/v1/models", "/sarvam/v1/models", "/openai/v1/models"])
def test_a_list_shows_a_model_for_each_trigger_without_an_argument(path: str) -> None:
    ids = {entry["id"] for entry in body_of(ask_surface(path)[0])["data"]}
    assert {f"mock/{name}" for name in TRIGGERS if ":" not in name} < ids
    assert not any(":" in name for name in ids)


def test_an_account_is_charged_for_its_own_answers_only() -> None:
    spent = cost(Tokens(100, 0, 20, 0))
    bought = body_of(ask_surface("/openrouter/api/v1/credits", book=open_book())[0])["data"]
    assert bought["total_usage"] == pytest.approx(spent)
    key = body_of(ask_surface("/openrouter/api/v1/key", book=open_book())[0])["data"]
    assert key["usage"] == key["usage_daily"] == bought["total_usage"]


def test_an_answer_that_was_cancelled_tells_what_had_been_sent() -> None:
    script, _ = ask_surface("/openrouter/api/v1/generation?id=gen-openrouter", book=open_book())
    told = body_of(script)["data"]
    assert (told["tokens_prompt"], told["tokens_completion"], told["cancelled"]) == (100, 20, True)
    assert (told["finish_reason"], told["latency"], told["generation_time"]) == (None, 250, 750)


@pytest.mark.parametrize("query", ["", "?id=gen-nobody", "?id=gen-openrouter"])
def test_an_answer_that_is_unknown_or_still_running_is_not_found(query: str) -> None:
    assert ask_surface(f"/openrouter/api/v1/generation{query}", book=open_book(running=True))[0].status == 404


@pytest.mark.parametrize("what", ["key", "credits", "generation"])
def test_an_account_is_shown_to_its_owner_only(what: str) -> None:
    assert ask_surface(f"/openrouter/api/v1/{what}", headers={"authorization": ""})[0].status == 401
