"""Webhook bodies and signatures: as the documents print them, and as the gateway's own readers understand them."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from channels.whatsapp import meta, twilio
from channels.whatsapp.updates import Arrival, Broken, Message, Status
from scripts.simulator.whatsapp import meta_updates, twilio_updates
from scripts.simulator.whatsapp.exchange import Later
from scripts.simulator.whatsapp.files import File
from scripts.simulator.whatsapp.meta_updates import body_of, said_update, status_update, written
from scripts.simulator.whatsapp.sayings import Kind, Saying, Who
from scripts.simulator.whatsapp.signing import meta_signature, twilio_signature
from scripts.simulator.whatsapp.state import Sent
from tests.simulator.calling_whatsapp import ASHA, START_S, meta_number, twilio_number

U = "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = {
    **{"CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675309"},
    **{"To": "+18005551212", "Caller": "+14158675309"},
}
FULL: dict[Kind, Saying] = {
    "text": Saying(text="नमस्ते a/b"),
    "image": Saying(type="image", text="Taj"),
    "voice": Saying(type="voice"),
    "audio": Saying(type="audio"),
    "video": Saying(type="video"),
    "document": Saying(type="document", name="a.pdf"),
    "sticker": Saying(type="sticker"),
    "location": Saying(type="location", latitude=37.44, longitude=-122.16, name="Philz"),
    "contacts": Saying(type="contacts", contacts=[{"name": {"formatted_name": "L"}, "phones": []}]),
    "button": Saying(type="button", choice_id="yes", text="Yes", reply_to="wamid.A"),
    "list": Saying(type="list", choice_id="x", text="Priority"),
    "template_button": Saying(type="template_button", text="Unsubscribe"),
    "flow": Saying(type="flow", response={"a": 1}),
    "order": Saying(type="order", items=[{"product_retailer_id": "di9", "quantity": 2}]),
    "reaction": Saying(type="reaction", message_id="wamid.A", emoji="👍"),
    "edit": Saying(type="edit", message_id="wamid.A", text="new"),
    "revoke": Saying(type="revoke", message_id="wamid.A"),
    "system": Saying(type="system", fields={"system": {"type": "user_changed_user_id", "user_id": "IN.78"}}),
    "unsupported": Saying(type="unsupported"),
    "welcome": Saying(type="welcome"),
    "call": Saying(type="call"),
    "echo": Saying(type="echo", text="I am on it"),
    "raw": Saying(type="raw", fields={"type": "from_the_future", "from_the_future": {}}),
}
#: What the gateway makes of it, where that is not a message.
FACTS = {
    **{"reaction": "reaction", "edit": "edit", "revoke": "revoke", "system": "identity"},
    **{"call": "call", "echo": "echo"},
}


def a_file(kind: str) -> File:
    media_type = {"voice": "audio/ogg", "document": "application/pdf"}.get(kind, "image/png")
    return File("1003", "1065", b"bytes", media_type, "", START_S)


def tag(update: Any) -> Any:
    return msgspec.to_builtins(update)["type"]


def a_status(status: Any = "delivered", code: int = 0) -> Later:
    sent = Sent(1, START_S, "wamid.B", ASHA.phone, "IN.77", "text", "hi", {}, "send-1", "accepted")
    return Later(START_S, sent, status, code)


def test_every_kind_of_saying_is_tried() -> None:
    assert set(FULL) == set(get_args(Kind))


@pytest.mark.parametrize("kind", FULL)
def test_the_gateway_reads_everything_that_can_be_said_at_meta(kind: Kind) -> None:
    fields = meta_updates.file_fields(a_file(kind), "https://a.test/f")
    update = said_update(meta_number(), ASHA, FULL[kind], "wamid.X", START_S, fields)
    found = meta.read(body_of([(meta_number(), [update])], "message"))
    assert [type(each) for each in found] == [Arrival]
    arrival = found[0]
    assert isinstance(arrival, Arrival)
    assert arrival.account == "1065"
    assert tag(arrival.update) == FACTS.get(kind, "message")
    if isinstance(arrival.update, Message):
        assert arrival.update.sender.phone == ASHA.phone
        assert arrival.update.sender.user_id == ASHA.user_id
        assert (arrival.update.media is not None) == (
            kind in {"image", "voice", "audio", "video", "document", "sticker"}
        )


@pytest.mark.parametrize("kind", ["text", "image", "voice", "location", "button", "list", "flow", "document"])
def test_the_gateway_reads_what_is_said_at_twilio(kind: Kind) -> None:
    file = a_file(kind) if kind in {"image", "voice", "document"} else None
    params = twilio_updates.said_params(twilio_number(), ASHA, FULL[kind], "SM1", file, "https://a.test")
    arrival = twilio.read(params)
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.update, Message)
    assert (arrival.account, arrival.key) == ("+14155238886", "SM1")
    assert arrival.update.sender.phone == ASHA.phone
    assert arrival.update.kind == kind
    assert (arrival.update.media is not None) == (file is not None)


def test_statuses_carry_our_reference_at_meta() -> None:
    found = meta.read(body_of([(meta_number(), [status_update(meta_number(), a_status("failed", 131026))])], "message"))
    assert isinstance(found[0], Arrival)
    status = found[0].update
    assert isinstance(status, Status)
    assert (status.status, status.reference, status.error_code) == ("failed", "send-1", "131026")
    assert status.recipient.phone == ASHA.phone


def test_statuses_are_read_at_twilio() -> None:
    arrival = twilio.read_status(twilio_updates.status_params(twilio_number(), a_status("failed", 63016)), "send-1")
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.update, Status)
    assert (arrival.update.status, arrival.update.error_code) == ("failed", "63016")


def test_a_user_who_hides_the_number_has_no_phone_anywhere() -> None:
    update = said_update(meta_number(), Who(user_id="IN.77"), Saying(text="hi"), "wamid.X", START_S, None)
    body = body_of([(meta_number(), [update])], "message")
    assert b"wa_id" not in body
    assert b'"from"' not in body
    found = meta.read(body)
    assert not [each for each in found if isinstance(each, Broken)]


@pytest.mark.parametrize(("layout", "entries", "changes"), [("message", 2, 2), ("change", 2, 4), ("entry", 4, 4)])
def test_a_batch_is_laid_out_as_wished(layout: Any, entries: int, changes: int) -> None:
    numbers = [meta_number(), meta_number(account="2", business="WABA2")]
    said = [
        (number, [said_update(number, ASHA, Saying(text=str(n)), f"wamid.{n}", START_S, None) for n in range(2)])
        for number in numbers
    ]
    body = body_of(said, layout)
    tree = msgspec.json.decode(body)
    assert len(tree["entry"]) == entries
    assert sum(len(entry["changes"]) for entry in tree["entry"]) == changes
    accounts = [each.account for each in meta.read(body)]
    assert accounts == ["1065", "1065", "2", "2"]


def test_a_body_is_escaped_as_meta_does_and_signed_over_its_bytes() -> None:
    payload = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": []}], "note": "है /"}
    body = written(payload)
    assert len(body) == 97
    assert (
        meta_signature("appsecret", body) == "sha256=1a2ed7b800e1ed887a31d00e30f223d43ee3ecb263e963068ba411edd5663408"
    )
    assert meta.signed(["appsecret"], body, meta_signature("appsecret", body))


@pytest.mark.parametrize(
    ("url", "params", "signature"),
    [
        (U, [*CALL.items()], "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (U.replace(".com/", ".com:443/"), [*CALL.items()], "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (
            U,
            [("Sid", "CA123"), ("SidAccount", "AC123"), *[("Digits", each) for each in ("5678", "1234", "1234")]],
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        (U, [], "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
        (
            "https://example.com/api/v1/webhooks/twilio/whatsapp",
            [("Body", "नमस्ते 👋"), ("From", "whatsapp:+919876543210"), ("NumMedia", "0")],
            "f+jy5wAjHqV7AMz5ojZ/FOv7yuI=",
        ),
    ],
)
def test_twilios_signature_is_the_documents(url: str, params: list[tuple[str, str]], signature: str) -> None:
    assert twilio_signature("12345", url, params) == signature


def test_twilios_own_validator_accepts_the_signature() -> None:
    number = twilio_number()
    params = twilio_updates.said_params(number, ASHA, Saying(text="नमस्ते & ="), "SM1", None, "https://a.test")
    signature = twilio_signature(number.auth_token, "https://a.test/hook", params)
    assert RequestValidator(number.auth_token).validate("https://a.test/hook", dict(params), signature)
