"""What triggers make of an answer that is one body, whoever gives it."""

from __future__ import annotations

import pytest

from scripts.simulator.book import Book
from scripts.simulator.chat import NOISY
from scripts.simulator.script import Ending, Script
from scripts.simulator.unary import HTML_PAGE
from tests.simulator.asking import Json, ask_surface, body_of

EXA = "/exa/search"


def search(cues: str = "", book: Book | None = None) -> Script:
    return ask_surface(EXA, {"query": f"what is trio {cues}", "numResults": 2}, book=book)[0]


def sent(script: Script) -> bytes:
    return b"".join(step.data for step in script.steps)


def test_a_good_answer_is_whole_and_says_how_long_it_is() -> None:
    script = search()
    assert (script.status, script.length, script.ending, script.fault) == (200, len(sent(script)), "end", False)


@pytest.mark.parametrize(
    ("trigger", "part", "ending"),
    [
        ("eof_mid", 0.5, "fin"),
        ("rst_mid", 0.5, "rst"),
        ("hang_mid", 0.5, "hang"),
        ("close_before_body", 0, "fin"),
        ("hang_headers_after_accept", 0, "hang"),
    ],
)
def test_a_cut_answer_promises_more_than_it_sends(trigger: str, part: float, ending: Ending) -> None:
    script, whole = search(f"[mock={trigger}]"), sent(search(f"[mock={trigger}@other]"))
    assert (len(sent(script)), script.length, script.ending) == (int(len(whole) * part), len(whole), ending)
    assert script.fault


def test_a_body_that_breaks_off_but_ends_properly_says_its_own_length() -> None:
    script = search("[mock=invalid_json_body]")
    assert (script.length, script.fault) == (len(sent(script)), True)
    assert sent(search()).startswith(sent(script)[:40])


def test_a_hung_request_is_never_answered() -> None:
    script = search("[mock=hang_headers]")
    assert (script.silent, script.ending) == (True, "hang")


def test_a_web_page_and_an_error_in_a_200_are_faults() -> None:
    page, error = search("[mock=html_body]"), search("[mock=error_200]")
    assert (sent(page), page.status, page.fault) == (HTML_PAGE, 200, True)
    assert (body_of(error)["error"], error.status, error.fault) == ("internal error", 200, True)


def test_an_answer_with_nothing_in_it_is_none_that_is_worth_money() -> None:
    script = search("[mock=empty_answer]")
    assert (body_of(script)["results"], script.fault) == ([], True)


def test_headers_that_must_not_leak_come_with_a_good_answer() -> None:
    script = search("[mock=noisy_headers]")
    assert set(NOISY) <= set(script.headers)
    assert not script.fault


def test_the_wait_before_the_body_is_kept() -> None:
    assert [step.at_s for step in search("[first=30]").steps] == [0.03]


def test_a_trigger_may_be_meant_for_one_provider() -> None:
    assert search("[mock=500@exa]").status == 500
    assert search("[mock=500@brave]").status == 200


def test_a_fault_that_passes_is_met_once() -> None:
    book = Book()
    assert [search("[mock=fail_once:a]", book).status for _ in range(2)] == [500, 200]


@pytest.mark.parametrize("cue", ["[mock=nonsense]", "[pace=fast]"])
def test_a_cue_that_cannot_be_followed_is_refused(cue: str) -> None:
    assert search(cue).status == 400


def test_without_a_key_nothing_is_answered_and_the_book_knows_who_was_asked() -> None:
    body: Json = {"query": "[tag=a1] hi"}
    script, record = ask_surface(EXA, body, {"x-api-key": ""})
    assert (script.status, record.model, record.tag) == (401, "exa", None)
    assert ask_surface(EXA, body)[1].tag == "a1"
