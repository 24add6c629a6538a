"""A number at Meta, on the wire: what is sent, how it ends, and what is read of the answers."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from app.providers.deadlines import Deadlines
from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import (
    Checked,
    Letter,
    MediaContent,
    NotSent,
    OutcomeUnknown,
    Recipient,
    Refused,
    Sent,
    TextContent,
)
from app.providers.whatsapp.media import Downloads, metas
from tests.providers.peer import Act
from tests.providers.whatsapp.talking import (
    LETTER,
    TOKEN,
    USER,
    answer,
    breaks_after_reading,
    breaks_before_reading,
    falls_silent,
    parts,
    says,
    sent_json,
    to_meta,
)

ACCEPTED = answer(200, {"messaging_product": "whatsapp", "messages": [{"id": "wamid.A", "message_status": "accepted"}]})


def refusal(status: int, code: int, details: str = "No.") -> bytes:
    return answer(status, {"error": {"message": "m", "code": code, "error_data": {"details": details}}})


async def test_a_letter_is_one_post_with_the_token() -> None:
    async with to_meta(says(ACCEPTED)) as (line, peer):
        assert await line.send(LETTER) == Sent("wamid.A")
    first, headers, _ = parts(peer.requests[0])
    assert first == b"POST /v25.0/106540352242922/messages HTTP/1.1"
    assert (headers["authorization"], headers["content-type"]) == (f"Bearer {TOKEN}", "application/json")
    assert sent_json(peer.requests[0]) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": USER,
        "biz_opaque_callback_data": "row-1",
        "type": "text",
        "text": {"body": "The parcel is on its way.", "preview_url": False},
    }


async def test_two_letters_take_one_connection() -> None:
    async with to_meta(says(ACCEPTED, ACCEPTED)) as (line, peer):
        await line.send(LETTER)
        await line.send(LETTER)
        assert peer.connections == 1


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (refusal(400, 131047), "window", "131047"),
        (refusal(401, 190), "account", "190"),
        (refusal(500, 131000), "transient", "131000"),
        (refusal(503, 2), "transient", "2"),
        (refusal(200, 131056), "pair_rate", "131056"),
        (refusal(400, 424242), "other", "424242"),
        (answer(401, b"<html>"), "account", "http_401"),
        (answer(404), "other", "http_404"),
    ],
)
async def test_a_definite_no_says_which(sent: bytes, kind: str, code: str) -> None:
    async with to_meta(says(sent)) as (line, peer):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert (raised.value.kind, raised.value.code) == (kind, code)
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "act",
    [
        says(answer(500)),
        says(answer(502, b"<html>Bad gateway")),
        says(answer(200, b"{")),
        says(answer(200, {"messages": []})),
        breaks_after_reading,
        breaks_before_reading,
    ],
)
async def test_what_says_nothing_is_unknown_and_is_not_sent_again(act: Act) -> None:
    async with to_meta(act) as (line, peer):
        with pytest.raises(OutcomeUnknown):
            await line.send(LETTER)
        assert peer.connections == 1


async def test_a_letter_is_given_up_after_ten_seconds() -> None:
    """The deadline that the socket gets; the waiting itself is tested where it can be made short."""
    asked: list[float] = []

    class Watched(Upstream):
        def request(self, *args: Any) -> Any:
            asked.append(args[-1])
            return super().request(*args)

    line = GraphLine(
        Watched("http://127.0.0.1:9"), Downloads("http://127.0.0.1:9", metas), phone_number_id="1", token="t"
    )
    with pytest.raises(NotSent):
        await line.send(LETTER)
    assert asked == [10.0]


async def test_a_cancelled_send_hangs_up() -> None:
    async with to_meta(falls_silent) as (line, peer):
        with trio.move_on_after(0.1):
            await line.send(LETTER)
        with trio.fail_after(1):
            await peer.hung_up.wait()


async def test_what_cannot_be_written_never_reaches_the_provider() -> None:
    async with to_meta(says(ACCEPTED)) as (line, peer):
        for letter in (
            Letter(Recipient(USER), TextContent("half \ud83d of it"), "r"),
            Letter(Recipient(USER), MediaContent("image"), "r"),
        ):
            with pytest.raises(Refused) as raised:
                await line.send(letter)
            assert raised.value.kind == "content"
        assert peer.requests == []


@pytest.mark.parametrize("token", ["", "with space", "line\r\nX-Evil: 1", "ü"])
async def test_a_token_that_is_none_is_the_accounts_fault(token: str) -> None:
    async with to_meta(says(ACCEPTED), token=token) as (line, peer):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert raised.value.kind == "account"
        assert not token or token not in str(raised.value)
        assert peer.requests == []


async def test_no_failure_tells_the_token_the_user_or_what_was_written() -> None:
    words = f"Malformed access token {TOKEN}; 'The parcel is on its way.' to {USER} or US.1349"
    async with to_meta(says(refusal(400, 100, words))) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.send(LETTER)
        assert str(raised.value) == "100: Malformed access token ***; '***' to *** or ***"


async def test_typing_reads_and_shows() -> None:
    async with to_meta(says(answer(200, {"success": True}))) as (line, peer):
        await line.show_typing("wamid.U")
    assert sent_json(peer.requests[0])["message_id"] == "wamid.U"
    assert sent_json(peer.requests[0])["typing_indicator"] == {"type": "text"}


@pytest.mark.parametrize("act", [says(refusal(400, 131009)), says(answer(500)), breaks_after_reading])
async def test_typing_that_fails_is_a_line_in_the_log(act: Act) -> None:
    async with to_meta(act) as (line, peer):
        with capture_logs() as logs:
            await line.show_typing("wamid.U")
        assert [entry["event"] for entry in logs] == ["whatsapp.typing_failed"]
        assert len(peer.requests) == 1


async def test_an_upload_is_a_form_with_the_file() -> None:
    async with to_meta(says(answer(200, {"id": "M1"}))) as (line, peer):
        assert await line.upload(b"OggS\x00\r\n\xff", "audio/ogg; codecs=opus", 'a "b"\r\n.ogg') == "M1"
    first, headers, body = parts(peer.requests[0])
    assert first == b"POST /v25.0/106540352242922/media HTTP/1.1"
    form = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body, policy=HTTP)
    found = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in form.iter_parts()
    ]
    assert found == [
        ("messaging_product", b"whatsapp"),
        ("type", b"audio/ogg; codecs=opus"),
        ("file", b"OggS\x00\r\n\xff"),
    ]
    assert b'filename="a %22b%22%0D%0A.ogg"' in body


async def test_a_large_upload_that_is_refused_early_is_a_refusal() -> None:
    async def refuse(line: Any) -> None:
        await line.stream.receive_some(10)
        await line.send(refusal(400, 131053))
        await line.hold()

    async with to_meta(refuse) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.upload(b"x" * 8_000_000, "video/mp4", "a.mp4")
        assert raised.value.kind == "media"


@pytest.mark.parametrize("act", [says(answer(500)), says(answer(200, {})), breaks_after_reading])
async def test_an_upload_whose_outcome_is_unknown_may_be_made_again(act: Act) -> None:
    async with to_meta(act) as (line, _):
        with pytest.raises(NotSent):
            await line.upload(b"x", "image/png", "a.png")


async def test_a_media_type_with_a_header_in_it_is_refused() -> None:
    async with to_meta(says(ACCEPTED)) as (line, peer):
        with pytest.raises(Refused):
            await line.upload(b"x", "image/png\r\nX-Evil: 1", "a.png")
        assert peer.requests == []


@pytest.mark.parametrize(
    ("throughput", "per_second"),
    [({"level": "STANDARD"}, 80), ({"level": "HIGH"}, 1000), ({"level": "?"}, None), (5, None)],
)
async def test_a_check_tells_of_the_number(throughput: Any, per_second: int | None) -> None:
    body = {"display_phone_number": "+1 555-078-3881", "verified_name": "Acme", "throughput": throughput, "id": "1"}
    async with to_meta(says(answer(200, body))) as (line, peer):
        assert await line.check() == Checked("+15550783881", "Acme", per_second)
    fields = b"display_phone_number,verified_name,throughput"
    assert parts(peer.requests[0])[0] == b"GET /v25.0/106540352242922?fields=" + fields + b" HTTP/1.1"


async def test_a_check_fails_by_the_code_or_as_not_sent() -> None:
    async with to_meta(says(refusal(401, 190), answer(500), answer(200, b"[]"))) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.check()
        assert raised.value.kind == "account"
        for _ in range(2):
            with pytest.raises(NotSent):
                await line.check()


def listed(*ids: str, after: str = "", more: bool = False) -> bytes:
    """A page of the numbers of a business account."""
    paging: Any = {"cursors": {"before": "b", "after": after}} | ({"next": "https://graph/..."} if more else {})
    return answer(200, {"data": [{"id": each} for each in ids], "paging": paging})


OURS = "106540352242922"


@pytest.mark.parametrize(
    ("pages", "belongs"),
    [
        ([listed("1", OURS)], True),
        ([listed("1", after="c=2", more=True), listed(OURS)], True),
        ([listed("1", OURS + "0", after="c=2")], False),
        ([listed()], False),
        ([answer(200, {"data": [5, {}, {"id": int(OURS)}]})], True),
    ],
)
async def test_a_number_belongs_to_the_account_that_lists_it(pages: list[bytes], belongs: bool) -> None:
    async with to_meta(says(*pages)) as (line, peer):
        assert await line.belongs_to("102") is belongs
        firsts = [parts(request)[0].split()[1] for request in peer.requests]
    path = b"/v25.0/102/phone_numbers?fields=id&limit=100"
    assert firsts == [path, path + b"&after=c%3D2"][: len(pages)]


async def test_an_account_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.providers.whatsapp.graph.MOST_PAGES", 3)
    async with to_meta(says(*[listed("1", after="2", more=True)] * 9)) as (line, peer):
        assert not await line.belongs_to("102")
        assert len(peer.requests) == 3


async def test_an_account_that_may_not_be_seen_is_said_by_the_code_and_nonsense_is_no_answer() -> None:
    async with to_meta(says(refusal(403, 200), answer(200, {"data": 5}))) as (line, _):
        with pytest.raises(Refused) as raised:
            await line.belongs_to("102")
        assert (raised.value.kind, raised.value.code) == ("account", "200")
        with pytest.raises(NotSent):
            await line.belongs_to("102")


async def test_meta_cannot_be_asked_what_it_has_had() -> None:
    line = GraphLine(
        Upstream("http://127.0.0.1:9", deadlines=Deadlines()),
        *(Downloads("http://127.0.0.1:9", metas),),
        phone_number_id="1",
        token=TOKEN,
    )
    assert await line.find(LETTER, 0.0) is None
