"""The Graph API's mind: what it takes, what it refuses with which code, and which statuses follow."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from scripts.simulator.whatsapp.errors import META
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.faults import FAULTS, Order
from scripts.simulator.whatsapp.files import File, Files
from scripts.simulator.whatsapp.graph import GraphState
from scripts.simulator.whatsapp.ids import Ids
from scripts.simulator.whatsapp.limits import WINDOW_S
from scripts.simulator.whatsapp.state import Number, Pace, Said
from tests.simulator.calling_whatsapp import ASHA, BSUID, START_S, Json, meta_number, text_body

DAY_S = 24 * 3600.0


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def graph(files: Files) -> GraphState:
    return GraphState(files, Ids(Random(1)))


@pytest.fixture
def number() -> Number:
    """Its window to Asha, and to a user without a phone, is open."""
    number = meta_number()
    for names in ((ASHA.phone, ""), ("", BSUID)):
        number.user(*names).window_until = START_S + DAY_S
    return number


def code(answer: Answer) -> int:
    """The code of the error; 0 for a good answer."""
    assert answer.payload is not None
    return int(answer.payload.get("error", {}).get("code", 0))


def of_kind(kind: str, body: Any, **fields: Any) -> Json:
    return {"messaging_product": "whatsapp", "to": ASHA.phone, "type": kind, kind: body, **fields}


def buttons(count: int, title: str = "Yes", body: str = "?") -> Json:
    choices = [{"type": "reply", "reply": {"id": f"b{n}", "title": title}} for n in range(count)]
    return of_kind("interactive", {"type": "button", "body": {"text": body}, "action": {"buttons": choices}})


def rows(count: int, **fields: str) -> Json:
    section = {"title": "S", "rows": [{"id": f"r{n}", "title": "T", **fields} for n in range(count)]}
    action = {"button": "Choose", "sections": [section]}
    return of_kind("interactive", {"type": "list", "body": {"text": "?"}, "action": action})


def template(name: str = "order_update", language: str = "en_US", *texts: str) -> Json:
    parameters = [{"type": "text", "text": text} for text in texts]
    components = [{"type": "body", "parameters": parameters}] if parameters else []
    return of_kind("template", {"name": name, "language": {"code": language}, "components": components})


GOOD = {
    "the longest text": text_body("a" * 4096),
    "a text without a type": {"messaging_product": "whatsapp", "to": ASHA.phone, "text": {"body": "hi"}},
    "a text with preview, context and reference": text_body(
        context={"message_id": "wamid.A"}, biz_opaque_callback_data="s" * 512, recipient_type="individual"
    ),
    "an image by link": of_kind("image", {"link": "https://example.com/a.png", "caption": "c" * 1024}),
    "a document": of_kind("document", {"link": "https://example.com/a.pdf", "filename": "a.pdf"}),
    "a location": of_kind("location", {"latitude": 1.0, "longitude": 2.0, "name": "Philz"}),
    "a reaction": of_kind("reaction", {"message_id": "wamid.A", "emoji": "👍"}),
    "a reaction taken back": of_kind("reaction", {"message_id": "wamid.A", "emoji": ""}),
    "three buttons": buttons(3, "t" * 20, "b" * 1024),
    "ten rows": rows(10, description="d" * 72),
    "a template": template("order_update", "en_US", "Asha"),
    "a request for the location": of_kind(
        "interactive",
        {"type": "location_request_message", "body": {"text": "?"}, "action": {"name": "send_location"}},
    ),
    "a link button": of_kind(
        "interactive",
        {
            "type": "cta_url",
            "body": {"text": "?"},
            "action": {"name": "cta_url", "parameters": {"display_text": "See", "url": "https://example.com"}},
        },
    ),
}
BAD: dict[str, tuple[int, Json | bytes]] = {
    "a text of 4097": (100, text_body("a" * 4097)),
    "an empty text": (131008, text_body("")),
    "a text of spaces": (131008, text_body("  \n")),
    "a text without a body": (131008, of_kind("text", {})),
    "a text that is a number": (131009, of_kind("text", {"body": 5})),
    "an unknown key": (100, text_body(colour="red")),
    "an unknown key inside": (100, of_kind("text", {"body": "a", "colour": "red"})),
    "another product": (131009, text_body(messaging_product="telegram")),
    "no product": (131008, {"to": ASHA.phone, "type": "text", "text": {"body": "a"}}),
    "nobody": (100, {"messaging_product": "whatsapp", "type": "text", "text": {"body": "a"}}),
    "a word as a number": (131009, text_body(to="Asha")),
    "a bad BSUID": (131009, {"messaging_product": "whatsapp", "recipient": "77", "text": {"body": "a"}}),
    "oneself": (131021, text_body(to="+15550783881")),
    "a type that is none": (131051, of_kind("poll", {})),
    "a type without its object": (131008, {"messaging_product": "whatsapp", "to": ASHA.phone, "type": "image"}),
    "a second object": (100, text_body(image={"link": "https://example.com"})),
    "a reference of 513": (100, text_body(biz_opaque_callback_data="s" * 513)),
    "a reference that is a number": (131009, text_body(biz_opaque_callback_data=5)),
    "a caption of 1025": (100, of_kind("image", {"link": "https://example.com", "caption": "c" * 1025})),
    "a file with id and link": (100, of_kind("image", {"id": "1", "link": "https://example.com"})),
    "a file with neither": (131008, of_kind("image", {"caption": "c"})),
    "a file that is not there": (131009, of_kind("image", {"id": "1"})),
    "a caption on a sound": (100, of_kind("audio", {"link": "https://example.com", "caption": "c"})),
    "a place beyond the pole": (131009, of_kind("location", {"latitude": 91, "longitude": 0})),
    "four buttons": (131009, buttons(4)),
    "no buttons": (131009, buttons(0)),
    "a button title of 21": (100, buttons(1, "t" * 21)),
    "a button body of 1025": (100, buttons(1, body="b" * 1025)),
    "eleven rows": (131009, rows(11)),
    "a row description of 73": (100, rows(1, description="d" * 73)),
    "a strange interactive": (131009, of_kind("interactive", {"type": "wheel", "action": {}})),
    "an interactive without a type": (131008, of_kind("interactive", {"action": {}})),
    "an unknown template": (132001, template("nobodys")),
    "a template in another language": (132001, template("hello_world", "de")),
    "a template with too few words": (132000, template("order_update", "en_US")),
    "a template with an empty word": (132012, template("order_update", "en_US", " ")),
    "a template that is too long": (132005, template("order_update", "en_US", "w" * 1025)),
    "a paused template": (132015, template("paused")),
    "a disabled template": (132016, template("disabled")),
    "broken JSON": (100, b'{"messaging_product":'),
    "a list": (100, b"[]"),
    "no UTF-8": (100, b'{"to":"\xff"}'),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_document_allows_is_taken(graph: GraphState, number: Number, name: str) -> None:
    answer = graph.send(START_S, number, GOOD[name])
    assert code(answer) == 0, answer.payload
    assert answer.status == 200
    assert [later.status for later in answer.later] == ["sent", "delivered", "read"]


@pytest.mark.parametrize("name", BAD)
def test_what_the_document_forbids_is_refused_and_nobody_gets_it(graph: GraphState, number: Number, name: str) -> None:
    wanted, body = BAD[name]
    answer = graph.send(START_S, number, body)
    assert (answer.status, code(answer)) == (META[wanted].status, wanted), answer.payload
    assert not number.sends
    assert not number.user(ASHA.phone).inbox


def test_the_reply_names_the_user_as_asked_and_as_known(graph: GraphState, number: Number) -> None:
    by_phone = graph.send(START_S, number, text_body(to="+91 98765-43210")).payload
    by_id = graph.send(START_S, number, {"messaging_product": "whatsapp", "recipient": BSUID, "text": {"body": "a"}})
    assert by_phone is not None
    assert by_phone["contacts"] == [{"input": "+91 98765-43210", "wa_id": "919876543210"}]
    assert by_id.payload is not None
    assert by_id.payload["contacts"] == [{"input": BSUID, "user_id": BSUID}]
    assert by_id.payload["messages"][0]["id"].startswith("wamid.")


def test_a_number_without_a_plus_goes_to_somebody_else(graph: GraphState, number: Number) -> None:
    graph.send(START_S, number, text_body(to="919876543210"))
    assert number.sends[-1].to == "+1919876543210"
    assert not number.user(ASHA.phone).inbox


def test_the_window_shuts_to_the_second_and_templates_still_pass(graph: GraphState, number: Number) -> None:
    shut = START_S + WINDOW_S
    assert code(graph.send(shut - 1, number, text_body())) == 0
    assert code(graph.send(shut, number, text_body())) == 131047
    assert code(graph.send(shut, number, template("hello_world"))) == 0
    assert code(graph.send(shut, number, text_body(to="+919999999999"))) == 131047


@pytest.mark.parametrize(
    ("where", "replied", "told"), [("reply", 131047, 0), ("status", 0, 131047), ("both", 131047, 131047)]
)
def test_the_shut_window_is_told_in_the_reply_or_later_or_both(
    graph: GraphState, where: Any, replied: int, told: int
) -> None:
    number = meta_number(refusals=where)
    answer = graph.send(START_S, number, text_body(biz_opaque_callback_data="s1"))
    assert code(answer) == replied
    assert [(later.status, later.code) for later in answer.later] == ([("failed", told)] if told else [])
    assert not number.user(ASHA.phone).inbox


def test_a_pair_has_45_at_once_and_then_one_every_six_seconds(graph: GraphState, number: Number) -> None:
    taken = [code(graph.send(START_S, number, text_body())) for _ in range(47)]
    assert taken == [0] * 45 + [131056] * 2
    assert code(graph.send(START_S + 5.9, number, text_body())) == 131056
    assert code(graph.send(START_S + 6, number, text_body())) == 0
    assert code(graph.send(START_S + 6, number, text_body())) == 131056
    assert code(graph.send(START_S + 6, number, text_body(to="+918888888888"))) == 131047


def test_a_number_has_80_a_second_whoever_they_are_for(graph: GraphState) -> None:
    number = meta_number()
    phones = [f"+9190000{n:05}" for n in range(82)]
    for phone in phones:
        number.user(phone).window_until = START_S + DAY_S
    taken = [code(graph.send(START_S, number, text_body(to=phone))) for phone in phones]
    assert taken == [0] * 80 + [130429] * 2
    assert code(graph.send(START_S + 1 / 80, number, text_body(to=phones[81]))) == 0


def test_a_refused_message_uses_up_no_limit(graph: GraphState, number: Number) -> None:
    number.orders.waiting.append(Order("refuse", 131000, left=100))
    assert {code(graph.send(START_S, number, text_body())) for _ in range(100)} == {131000}
    assert code(graph.send(START_S, number, text_body())) == 0


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_does_what_it_says(graph: GraphState, number: Number, name: str) -> None:
    fault = FAULTS[name]
    number.orders.waiting.append(Order(name, 131026, delay_s=2.0))
    answer = graph.send(START_S, number, text_body(biz_opaque_callback_data="s1"))
    assert answer.manner == ("answer" if fault.manner == "refuse" else fault.manner)
    assert code(answer) == (131026 if fault.manner == "refuse" else 0)
    assert len(number.user(ASHA.phone).inbox) == fault.accepted
    statuses = ["failed"] if fault.fails else ["sent", "delivered", "read"] * (fault.accepted and fault.statuses)
    assert [later.status for later in answer.later] == statuses
    assert answer.delay_s == 2.0
    assert code(graph.send(START_S, number, text_body())) == 0


def test_an_order_may_begin_later_and_be_for_one_user_only(graph: GraphState, number: Number) -> None:
    number.orders.waiting.append(Order("refuse", 131026, left=2, skip=1, to=BSUID))
    to_bsuid = {"messaging_product": "whatsapp", "recipient": BSUID, "text": {"body": "a"}}
    assert [code(graph.send(START_S, number, to_bsuid)) for _ in range(2)] == [0, 131026]
    assert code(graph.send(START_S, number, text_body())) == 0
    assert [code(graph.send(START_S, number, to_bsuid)) for _ in range(2)] == [131026, 0]


def test_statuses_come_at_their_pace_twice_and_backwards_if_so_wished(graph: GraphState, number: Number) -> None:
    number.pace = Pace(sent_s=1, delivered_s=2, read_s=None, twice=True, reverse=True)
    later = graph.send(START_S, number, text_body()).later
    assert [(each.at - START_S, each.status) for each in later] == [
        *[(1, "delivered")] * 2,
        *[(2, "sent")] * 2,
    ]


def test_only_a_voice_note_is_played(graph: GraphState, number: Number, files: Files) -> None:
    number.pace = Pace(played_s=1)
    files.put(File("7", number.account, b"OggS", "audio/ogg", "", START_S + 1))
    voice = graph.send(START_S, number, of_kind("audio", {"id": "7", "voice": True}))
    assert [later.status for later in voice.later] == ["sent", "delivered", "read", "played"]
    assert [later.status for later in graph.send(START_S, number, text_body()).later] == ["sent", "delivered", "read"]


def test_a_file_is_sent_as_what_it_is_and_by_its_owner_only(graph: GraphState, number: Number, files: Files) -> None:
    files.put(File("7", number.account, b"OggS", "audio/mpeg", "", START_S + 1))
    files.put(File("8", "somebody", b"OggS", "audio/ogg", "", START_S + 1))
    assert code(graph.send(START_S, number, of_kind("image", {"id": "7"}))) == 131053
    assert code(graph.send(START_S, number, of_kind("audio", {"id": "7", "voice": True}))) == 131053
    assert code(graph.send(START_S, number, of_kind("audio", {"id": "8"}))) == 131009
    assert code(graph.send(START_S + 1, number, of_kind("audio", {"id": "7"}))) == 131009


def test_read_and_typing_reach_the_writers_phone(graph: GraphState, number: Number) -> None:
    number.heard(Said(1, START_S, "wamid.A", ASHA.phone, "text", "hi"), number.user(ASHA.phone))
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
    assert graph.send(START_S, number, body).payload == {"success": True}
    graph.send(START_S, number, body | {"typing_indicator": {"type": "text"}})
    assert [item["type"] for item in number.user(ASHA.phone).inbox] == ["read", "read", "typing"]
    assert code(graph.send(START_S, number, body | {"message_id": "wamid.B"})) == 100
    assert code(graph.send(START_S, number, body | {"typing_indicator": {"type": "voice"}})) == 131009


def test_uploads_are_judged_by_type_and_size(graph: GraphState, number: Number) -> None:
    def upload(data: bytes, media_type: str) -> int:
        form = {"messaging_product": b"whatsapp", "type": media_type.encode(), "file": data}
        return code(graph.upload(START_S, number, form, "", "a"))

    assert upload(b"OggS", "audio/ogg; codecs=opus") == 0
    assert upload(bytes(5 * 2**20), "image/png") == 0
    assert upload(bytes(5 * 2**20 + 1), "image/png") == 100
    assert upload(b"", "image/png") == 100
    assert code(graph.upload(START_S, number, {"file": b"x"}, "image/png", "a")) == 100
