"""The error tables of the wire documents: what each provider answers, and what is to be done about it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from app.core.sends import CONTENT_CODES, MEDIA_CODES, OPT_OUT_CODES, TEMPLATE_OFF_CODES, WINDOW_CODES
from app.providers.whatsapp import graph_errors, twilio_errors
from app.providers.whatsapp.exchange import NO_REASON, Answer, reason
from app.providers.whatsapp.line import OutcomeUnknown, RefusalKind, Refused

#: wire/whatsapp-meta.md section 13, row by row.
META: list[tuple[str, list[int]]] = [
    ("account", [0, 190]),
    ("account", [3, 10, 200, 250, 299, 131005]),
    ("account", [33, 133010, 131045]),
    ("account", [131031, 368, 130497, 131037, 131042, 131064]),
    ("app_rate", [4, 80007]),
    ("number_rate", [130429]),
    ("pair_rate", [131056]),
    ("spam", [131048]),
    ("account", [133016]),
    ("maintenance", [131057]),
    ("transient", [1, 2, 131000, 131016, 133004, 133000, 135000]),
    ("deleting", [133015]),
    ("window", [131047]),
    ("recipient", [131026, 131021, 131030, 130472]),
    ("marketing_cap", [131049]),
    ("opted_out", [131050]),
    ("needs_phone", [131062]),
    ("content", [100, 131008, 131009, 131051]),
    ("media", [131052, 131053]),
    ("template", [132000, 132005, 132012, 132068, 132069, 132001]),
    ("template_off", [132007, 132015, 132016]),
    ("account", [133005, 133006, 133008, 133009]),
    ("template", [134011, 131055, 134100, 134101, 134102]),
    ("other", [5, 199, 300, 131999, -1, 10**12]),
]
#: wire/whatsapp-twilio.md section 6.
TWILIO: list[tuple[str, list[int]]] = [
    ("account", [20003]),
    ("transient", [20429]),
    ("recipient", [21211, 21614, 63024]),
    ("opted_out", [21610]),
    ("content", [21617, 21658, 63005, 63021]),
    ("media", [63019]),
    ("window", [63016]),
    ("number_rate", [63018]),
    ("marketing_cap", [63049]),
    ("other", [11200, 11205, 21608, 99999]),
]


#: JSON without a code.
ODD: list[Any] = [None, {}, [], "x", {"error": "x"}, {"error": {"code": None}}]


def rows(table: list[tuple[str, list[int]]]) -> list[tuple[int, str]]:
    return [(code, kind) for kind, codes in table for code in codes]


def meta(status: int, body: Any, *hidden: str) -> Refused | OutcomeUnknown:
    return graph_errors.failure(Answer(status, body), ("secret-token",), hidden)


def twilio(status: int, body: Any, *hidden: str) -> Refused | OutcomeUnknown:
    return twilio_errors.failure(Answer(status, body), ("secret-token",), hidden)


def kind(failure: Refused | OutcomeUnknown) -> str:
    return failure.kind if isinstance(failure, Refused) else "unknown"


@pytest.mark.parametrize(("code", "wanted"), rows(META))
@pytest.mark.parametrize("status", [200, 400, 503])
def test_metas_code_decides_whatever_the_status_is(code: int, wanted: str, status: int) -> None:
    found = meta(status, {"error": {"code": code, "message": "(#1) No"}})
    assert isinstance(found, Refused)
    assert (found.kind, found.code, found.message) == (wanted, str(code), "(#1) No")
    assert graph_errors.kind_of(code) == wanted


@pytest.mark.parametrize(("code", "wanted"), rows(TWILIO))
def test_twilios_code_decides(code: int, wanted: str) -> None:
    found = twilio(400, {"code": code, "message": "No", "status": 400})
    assert isinstance(found, Refused)
    assert (found.kind, found.code, found.message) == (wanted, str(code), "No")
    assert twilio_errors.kind_of(code) == wanted


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("window", WINDOW_CODES),
        ("opted_out", OPT_OUT_CODES),
        ("content", CONTENT_CODES),
        ("media", MEDIA_CODES),
        ("template_off", TEMPLATE_OFF_CODES),
    ],
)
def test_a_code_means_the_same_in_a_status(kind: str, codes: frozenset[str]) -> None:
    known = graph_errors.KINDS | twilio_errors.KINDS
    assert codes == {str(code) for code in known if known[code] == kind}


def test_every_kind_is_known_and_every_code_stands_in_one_row() -> None:
    kinds = set(get_args(RefusalKind))
    assert set(graph_errors.KINDS.values()) | set(twilio_errors.KINDS.values()) <= kinds
    assert graph_errors.KINDS.keys() == {code for code, wanted in rows(META) if wanted != "other"} | {*range(200, 300)}
    assert twilio_errors.KINDS.keys() == {code for code, wanted in rows(TWILIO) if wanted != "other"}


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        *((500, each, "unknown") for each in ODD),
        *((502, {"error": {"code": True}}, "unknown"), (503, {"error": {"message": "no"}}, "unknown")),
        *((200, None, "unknown"), (200, {"messages": []}, "unknown"), (200, {"messages": [{"id": 5}]}, "unknown")),
        *((400, None, "other"), (404, None, "other"), (413, None, "other"), (302, None, "other")),
        *((401, None, "account"), (403, {}, "account"), (429, None, "app_rate")),
        (401, {"error": {"code": 987}}, "account"),
        (403, {"error": {"code": 987}}, "other"),
        (400, {"error": {"code": "131047"}}, "window"),
        (400, {"error": {"code": "9" * 5000}}, "other"),
        (500, {"error": {"code": 987}}, "other"),
    ],
)
def test_metas_answers_without_a_known_code(status: int, body: Any, wanted: str) -> None:
    assert kind(meta(status, body)) == wanted


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        *(
            (500, None, "unknown"),
            (503, {"code": 20503, "message": "down"}, "unknown"),
            (500, {"code": 63016}, "window"),
        ),
        *((201, None, "unknown"), (201, {"sid": 5}, "unknown"), (201, {"sid": "SM1", "error_code": 63016}, "window")),
        *((400, None, "other"), (404, {"code": 20404}, "other"), (400, {"code": True}, "other"), (302, None, "other")),
        *(
            (401, None, "account"),
            (401, {"code": 5}, "account"),
            (403, None, "account"),
            (403, {"code": 21608}, "other"),
        ),
        *((429, None, "transient"), (429, {"code": 5}, "transient")),
    ],
)
def test_twilios_answers_without_a_known_code(status: int, body: Any, wanted: str) -> None:
    assert kind(twilio(status, body)) == wanted


def test_the_details_are_shown_before_the_message_and_without_what_is_nobodys_business() -> None:
    words = "Token secret-token\nof +1 (650) 555-1234 (US.1349208655302741918) for Asha's parcel: EAAG" + "x" * 40
    found = meta(400, {"error": {"code": 100, "message": "m", "error_data": {"details": words}}}, "Asha's parcel")
    assert isinstance(found, Refused)
    assert found.message == "Token *** of *** (US.***) for ***: ***"
    assert str(found) == f"100: {found.message}"


def test_a_code_beside_a_number_stays() -> None:
    assert reason("(#131047) 24 hours have passed since 16505551234", ()) == "(#131047) 24 hours have passed since ***"


def test_a_short_word_of_the_user_does_not_tear_the_reason_apart() -> None:
    assert reason("This is wrong", (), ("is", "a")) == "This is wrong"
    assert reason("", ("",), ("",)) == NO_REASON
    assert reason("\N{NULL}\n\t", ()) == NO_REASON


def test_the_time_to_wait_is_handed_on() -> None:
    found = graph_errors.failure(Answer(400, {"error": {"code": 4}}, 7.0), ())
    assert isinstance(found, Refused)
    assert found.retry_after_s == 7.0
