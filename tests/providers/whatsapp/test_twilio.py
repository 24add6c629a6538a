"""A number at Twilio, on the wire: forms, credentials, and the list of what it has had."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from structlog.testing import capture_logs

from app.providers.whatsapp.line import (
    Checked,
    ChoiceContent,
    Content,
    InteractiveContent,
    Letter,
    MediaContent,
    NotSent,
    OutcomeUnknown,
    ReactionContent,
    Recipient,
    Refused,
    Sent,
    TemplateContent,
    TextContent,
    Undelivered,
)
from app.providers.whatsapp.twilio import Account
from tests.providers.peer import Act
from tests.providers.whatsapp.talking import (
    AUTH_TOKEN,
    KEY_SECRET,
    LETTER,
    SID,
    USER,
    answer,
    breaks_after_reading,
    parts,
    says,
    sent_form,
    to_twilio,
)

QUEUED = answer(201, {"sid": "SM1", "status": "queued", "error_code": None, "error_message": None})
HEAD = [("From", "whatsapp:+14155238886"), ("To", f"whatsapp:{USER}")]
CALLBACK = [("StatusCallback", "https://ours.example/status/row-1")]
WITH_KEY = Account(SID, AUTH_TOKEN, "SK1", KEY_SECRET)
SINCE = 1_767_304_800  # 2026-01-01 22:00:00 UTC


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def letter(content: Content, to: Recipient | None = None) -> Letter:
    return Letter(to or Recipient(USER), content, "row-1")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (TextContent("नमस्ते & 50% +"), [("Body", "नमस्ते & 50% +")]),
        (ChoiceContent("Well?", (("y", "Yes"), ("n", "No"))), [("Body", "Well?\n\n1. Yes\n2. No")]),
        (
            MediaContent("image", link="https://a.example/1.png?s=1", caption="Taj"),
            [("MediaUrl", "https://a.example/1.png?s=1"), ("Body", "Taj")],
        ),
        (
            MediaContent("audio", "ignored", "https://a.example/1.ogg", voice=True),
            [("MediaUrl", "https://a.example/1.ogg")],
        ),
        (
            TemplateContent("HX1", variables={"1": "Asha"}),
            [("ContentSid", "HX1"), ("ContentVariables", '{"1":"Asha"}')],
        ),
        (TemplateContent("HX1", components=({"type": "body"},)), [("ContentSid", "HX1")]),
    ],
)
async def test_each_content_is_a_form(content: Content, wanted: list[tuple[str, str]]) -> None:
    async with to_twilio(says(QUEUED)) as (line, peer):
        assert await line.send(letter(content)) == Sent("SM1")
    first, headers, _ = parts(peer.requests[0])
    assert first == f"POST /2010-04-01/Accounts/{SID}/Messages.json HTTP/1.1".encode()
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert sent_form(peer.requests[0]) == HEAD + wanted + CALLBACK


async def test_a_user_without_a_phone_is_written_to_by_bsuid() -> None:
    async with to_twilio(says(QUEUED), callback="") as (line, peer):
        await line.send(letter(TextContent("x"), Recipient(user_id="ID.4566")))
    assert sent_form(peer.requests[0]) == [HEAD[0], ("To", "whatsapp:ID.4566"), ("Body", "x")]


@pytest.mark.parametrize(
    "content",
    [
        MediaContent("image", "M1"),
        MediaContent("audio", link="https://a.example/1.ogg", caption="hear"),
        InteractiveContent({"type": "list"}),
        ReactionContent("SM1", "😀"),
        TextContent("half \ud83d of it"),
        TemplateContent("HX1", variables={"1": "\ud83d"}),
    ],
)
async def test_what_twilio_cannot_carry_never_reaches_it(content: Content) -> None:
    async with to_twilio(says(QUEUED)) as (line, peer):
        with pytest.raises(Refused) as raised:
            await line.send(letter(content))
        assert raised.value.kind == "content"
        assert peer.requests == []


async def test_an_upload_is_not_for_twilio() -> None:
    async with to_twilio(says()) as (line, peer):
        with pytest.raises(Refused) as raised:
            await line.upload(b"x", "image/png", "a.png")
        assert (raised.value.kind, peer.connections) == ("content", 0)


@pytest.mark.parametrize(
    ("account", "wanted"), [(Account(SID, AUTH_TOKEN), basic(SID, AUTH_TOKEN)), (WITH_KEY, basic("SK1", KEY_SECRET))]
)
async def test_the_api_key_signs_where_there_is_one(account: Account, wanted: str) -> None:
    async with to_twilio(says(QUEUED), account=account) as (line, peer):
        await line.send(LETTER)
    assert parts(peer.requests[0])[1]["authorization"] == wanted


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (answer(400, {"code": 63016, "message": "m", "status": 400}), "window", "63016"),
        (answer(401, {"code": 20003, "message": "Authenticate"}), "account", "20003"),
        (answer(429, {"code": 20429}, b"Retry-After: 3"), "transient", "20429"),
        (answer(201, {"sid": "SM1", "status": "failed", "error_code": 21610}), "opted_out", "21610"),
        (answer(404, b"<html>"), "other", "http_404"),
    ],
)
async def test_a_definite_no_says_which(sent: bytes, kind: str, code: str) -> None:
    async with to_twilio(says(sent)) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert (raised.value.kind, raised.value.code) == (kind, code)
        assert raised.value.retry_after_s == (3.0 if code == "20429" else None)


@pytest.mark.parametrize(
    "act", [says(answer(500, {"code": 20500, "message": "Oops"})), says(answer(201, b"{")), breaks_after_reading]
)
async def test_what_says_nothing_is_unknown_and_is_not_sent_again(act: Act) -> None:
    async with to_twilio(act) as (line, peer):
        with pytest.raises(OutcomeUnknown):
            await line.send(LETTER)
        assert peer.connections == 1


async def test_no_failure_tells_secrets_the_user_or_what_was_written() -> None:
    words = f"{AUTH_TOKEN} {KEY_SECRET} 'The parcel is on its way.' whatsapp:{USER}"
    async with to_twilio(says(answer(400, {"code": 5, "message": words})), account=WITH_KEY) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert str(raised.value) == "5: *** *** '***' whatsapp:***"
        assert AUTH_TOKEN not in repr(WITH_KEY)
        assert KEY_SECRET not in repr(WITH_KEY)


@pytest.mark.parametrize("account", [Account(SID), Account(SID, "with\nline"), Account("", AUTH_TOKEN)])
async def test_credentials_that_are_none_are_the_accounts_fault(account: Account) -> None:
    async with to_twilio(says(QUEUED), account=account) as (line, peer):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert (raised.value.kind, peer.requests) == ("account", [])


async def test_typing_goes_to_the_messaging_host() -> None:
    async with to_twilio(says(answer(201, {"success": True}))) as (line, peer):
        await line.show_typing("SM9")
    assert parts(peer.requests[0])[0] == b"POST /messaging/v2/Indicators/Typing.json HTTP/1.1"
    assert sent_form(peer.requests[0]) == [("messageId", "SM9"), ("channel", "whatsapp")]


@pytest.mark.parametrize("act", [says(answer(404)), breaks_after_reading])
async def test_typing_that_fails_is_a_line_in_the_log(act: Act) -> None:
    async with to_twilio(act) as (line, _):
        with capture_logs() as logs:
            await line.show_typing("SM9")
        assert [entry["event"] for entry in logs] == ["whatsapp.typing_failed"]


async def test_a_check_looks_at_the_account_with_its_token_and_tries_the_key() -> None:
    account = answer(200, {"friendly_name": "Acme", "status": "active"})
    async with to_twilio(says(account, answer(200, {"messages": []})), account=WITH_KEY) as (line, peer):
        assert await line.check() == Checked("+14155238886", "Acme")
    asked = [(parts(request)[0], parts(request)[1]["authorization"]) for request in peer.requests]
    path = f"GET /2010-04-01/Accounts/{SID}"
    assert asked == [
        (f"{path}.json HTTP/1.1".encode(), basic(SID, AUTH_TOKEN)),
        (f"{path}/Messages.json?PageSize=1 HTTP/1.1".encode(), basic("SK1", KEY_SECRET)),
    ]


@pytest.mark.parametrize(
    "sent", [answer(200, {"friendly_name": "Acme", "status": "suspended"}), answer(401, {"code": 20003})]
)
async def test_a_check_of_an_account_that_is_shut_is_refused(sent: bytes) -> None:
    async with to_twilio(says(sent)) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.check()
        assert raised.value.kind == "account"


async def test_a_check_that_gets_no_answer_may_be_made_again() -> None:
    async with to_twilio(says(answer(503))) as (line, _):
        with pytest.raises(NotSent):
            await line.check()


def listed(sid: str, body: str, minute: int, **fields: Any) -> dict[str, Any]:
    made = f"Thu, 01 Jan 2026 22:{minute:02}:00 +0000"
    return {"sid": sid, "body": body, "date_created": made, "direction": "outbound-api"} | fields


async def test_what_was_had_since_then_is_found_by_its_words() -> None:
    text = "The parcel is on its way."
    messages = [
        listed("SM6", text, 4),
        listed("SM5", text, 3),
        listed("SM4", "Another", 2),
        listed("SM3", text, 2, direction="inbound"),
        listed("SM2", text, 2, date_created=None),
        listed("SM1", text, 0),
        *(None, {"sid": 5}, listed("SM8", text, 2, num_media="1")),
    ]
    async with to_twilio(says(answer(200, {"messages": messages}))) as (line, peer):
        assert await line.find(LETTER, SINCE + 180.5) == Sent("SM6")
    url = urlsplit(parts(peer.requests[0])[0].decode().split()[1])
    assert url.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    assert dict(parse_qsl(url.query)) == {
        "To": f"whatsapp:{USER}",
        "From": "whatsapp:+14155238886",
        "DateSent>": "2026-01-01",
        "PageSize": "50",
    }


@pytest.mark.parametrize("status", ["failed", "undelivered", "canceled"])
async def test_what_was_had_and_could_not_be_delivered_says_so(status: str) -> None:
    text = "The parcel is on its way."
    messages = [listed("SM1", text, 1), listed("SM2", text, 2, status=status, error_code=63019, error_message=None)]
    async with to_twilio(says(answer(200, {"messages": messages}))) as (line, _):
        assert await line.find(LETTER, SINCE) == Undelivered("SM2", "63019", "")


async def test_where_nothing_is_found_it_is_none() -> None:
    early = answer(200, {"messages": [listed("SM1", "The parcel is on its way.", 0)]})
    async with to_twilio(says(answer(200, {"messages": []}), early)) as (line, _):
        assert await line.find(LETTER, SINCE + 60) is None
        assert await line.find(LETTER, SINCE + 60) is None


@pytest.mark.parametrize("act", [says(answer(200, {"messages": 5})), says(answer(500)), breaks_after_reading])
async def test_a_list_that_is_away_is_not_an_empty_one(act: Act) -> None:
    async with to_twilio(act) as (line, _):
        with pytest.raises(NotSent):
            await line.find(LETTER, SINCE)


async def test_a_file_is_not_taken_for_a_text() -> None:
    messages = [listed("SM2", "", 1, num_media="0"), listed("SM1", "", 2, num_media="1")]
    async with to_twilio(says(answer(200, {"messages": messages}))) as (line, _):
        assert await line.find(letter(MediaContent("image", link="https://a.example/1.png")), SINCE) == Sent("SM1")


async def test_a_file_of_ours_is_found_as_a_file_or_as_the_text_that_was_sent_instead() -> None:
    note = letter(MediaContent("audio", kept="med_1", voice=True, otherwise="In words"))
    for sid, other in (("SM2", listed("SM3", "", 1, num_media="0")), ("SM4", listed("SM5", "Words", 1))):
        body, count = ("", "1") if sid == "SM2" else ("In words", "0")
        messages = [other, listed(sid, body, 2, num_media=count)]
        async with to_twilio(says(answer(200, {"messages": messages}))) as (line, _):
            assert await line.find(note, SINCE) == Sent(sid)


async def test_a_template_cannot_be_found_by_words_that_are_not_known() -> None:
    async with to_twilio(says()) as (line, peer):
        assert await line.find(letter(TemplateContent("HX1")), SINCE) is None
        assert peer.connections == 0
