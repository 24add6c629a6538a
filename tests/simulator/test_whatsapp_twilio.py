"""Twilio's mind: what it takes, what it refuses with which code, what it lists."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from scripts.simulator.whatsapp import twilio
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.ids import Ids
from scripts.simulator.whatsapp.state import Number, Said
from scripts.simulator.whatsapp.twilio import TwilioState
from tests.simulator.calling_whatsapp import ASHA, START_S, text_form, twilio_number

CONTENT = "HX" + "0" * 32


@pytest.fixture
def state() -> TwilioState:
    return TwilioState(Ids(Random(1)))


@pytest.fixture
def number() -> Number:
    number = twilio_number()
    number.user(ASHA.phone).window_until = START_S + 24 * 3600
    return number


def code(answer: Answer) -> int:
    assert answer.payload is not None
    return int(answer.payload.get("code", 0))


def test_a_taken_message_is_a_queued_resource(state: TwilioState, number: Number) -> None:
    answer = state.send(START_S, number, text_form("नमस्ते"))
    assert answer.status == 201
    assert answer.payload is not None
    shown = {name: answer.payload[name] for name in ("status", "body", "from", "to", "error_code")}
    assert shown == {
        **{"status": "queued", "body": "नमस्ते", "from": "whatsapp:+14155238886", "to": f"whatsapp:{ASHA.phone}"},
        "error_code": None,
    }
    assert answer.payload["sid"].startswith("SM")


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        (0, text_form("a" * 1600)),
        (21617, text_form("a" * 1601)),
        (21619, text_form("")),
        (21211, text_form(to="Asha")),
        (21211, text_form(To="+919876543210")),
        (63007, text_form(From="whatsapp:+10000000000")),
        (63021, [*text_form(), ("MediaUrl", "http://a.test/1"), ("MediaUrl", "http://a.test/2")]),
        (0, [*text_form(""), ("MediaUrl", "http://a.test/1")]),
        (0, text_form("", ContentSid=CONTENT, ContentVariables='{"1":"Asha"}')),
        (21655, text_form("", ContentSid="HX1")),
        (21656, text_form("", ContentSid=CONTENT, ContentVariables='{"1":1}')),
        (21656, text_form("", ContentSid=CONTENT, ContentVariables="{")),
    ],
)
def test_forms_are_taken_or_refused_by_code(state: TwilioState, number: Number, wanted: int, form: Any) -> None:
    answer = state.send(START_S, number, form)
    assert code(answer) == wanted
    assert len(number.user(ASHA.phone).inbox) == (wanted == 0)


def test_the_shut_window_is_told_by_a_status_alone(state: TwilioState) -> None:
    answer = state.send(START_S, twilio_number(), text_form())
    assert answer.status == 201
    assert [(later.status, later.code) for later in answer.later] == [("failed", 63016)]


def test_the_pair_limit_is_a_status_and_the_numbers_is_a_429(state: TwilioState, number: Number) -> None:
    answers = [state.send(START_S, number, text_form()) for _ in range(46)]
    assert [later.code for later in answers[45].later] == [63018]
    assert answers[45].status == 201
    number.tat = START_S + 100
    refused = state.send(START_S, number, text_form())
    assert (refused.status, code(refused)) == (429, 20429)


def test_the_list_shows_what_was_taken_even_if_the_reply_was_lost(state: TwilioState, number: Number) -> None:
    for fault in ("reset_accepted", "reset", "refuse"):
        number.orders.waiting.append(Order(fault, 21610))
        state.send(START_S, number, text_form(fault))
    state.send(START_S + 86_400, number, text_form("", ContentSid=CONTENT))
    query = {"To": f"whatsapp:{ASHA.phone}", "From": "whatsapp:+14155238886"}
    every = twilio.listed(number, query).payload
    assert every is not None
    assert [each["body"] for each in every["messages"]] == [f"[template {CONTENT}]", "reset_accepted"]
    today = twilio.listed(number, query | {"DateSent>": "2026-09-22"}).payload
    assert today is not None
    assert [each["body"] for each in today["messages"]] == [f"[template {CONTENT}]"]
    assert twilio.listed(number, query | {"PageSize": "x"}).status == 404


def test_typing_marks_as_read_for_whoever_wrote(state: TwilioState, number: Number) -> None:
    number.heard(Said(1, START_S, "SM1", ASHA.phone, "text", "hi"), number.user(ASHA.phone))
    assert state.show_typing(START_S, number, {"messageId": "SM1", "channel": "whatsapp"}).status == 200
    assert [item["type"] for item in number.user(ASHA.phone).inbox] == ["read", "typing"]
    assert state.show_typing(START_S, number, {"messageId": "SM2", "channel": "whatsapp"}).status == 404
