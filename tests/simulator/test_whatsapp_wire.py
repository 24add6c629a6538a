"""The whole of it over loopback: the gateway's own lines speak to it, webhooks come to a host, the desks see both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from app.providers.deadlines import Deadlines
from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    FileWanted,
    Letter,
    MediaContent,
    MediaUnavailable,
    OutcomeUnknown,
    Recipient,
    Refused,
    TemplateContent,
    TextContent,
)
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.providers.whatsapp.twilio import Account, TwilioLine
from channels.whatsapp import meta, twilio
from channels.whatsapp.updates import Arrival, Message
from scripts.simulator.sound import opus
from tests.providers.peer import Peer, open_peer
from tests.simulator.asking import Running
from tests.simulator.calling_whatsapp import Json, text_body

ACCOUNT = "106540352242922"
SID = "AC00000000000000000000000000000001"
OURS = "+14155238886"
ASHA = "+919876543210"
FAST = Deadlines(connect_s=1, gap_s=1, error_body_s=1)


@pytest.fixture
async def gateway() -> AsyncIterator[Peer]:
    """Takes every webhook."""
    async with open_peer() as peer:
        yield peer


class Desk:
    """What a test asks of the simulator's desks."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, path: str, **body: Any) -> Json:
        reply = await self._client.post(f"/whatsapp/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def get(self, path: str, **query: Any) -> Json:
        reply = await self._client.get(f"/whatsapp/{path}", params=query)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def say(self, account: str, *messages: Json, **fields: Any) -> Json:
        who = {"phone": ASHA, "user_id": "IN.77", "name": "Asha"}
        return await self.post("say", **{"account": account, "from": who, "messages": messages, "wait_s": 5, **fields})

    async def inbox(self, account: str, after: int = 0, wait: float = 5) -> list[Json]:
        return list((await self.get("phone", account=account, phone=ASHA, after=after, wait=wait))["items"])

    async def order(self, account: str, fault: str, **fields: Any) -> None:
        await self.post("faults", account=account, fault=fault, **fields)

    async def counts(self, account: str) -> dict[str, int]:
        return dict((await self.get("book", account=account))["numbers"][0]["counts"])


@pytest.fixture
async def desk(client: httpx2.AsyncClient, gateway: Peer) -> Desk:
    """With a number at each provider."""
    desk = Desk(client)
    url = gateway.url
    of_meta = {"account": ACCOUNT, "business": "WABA", "phone": "+15550783881", "token": "EAA-token", "app_secret": "s"}
    await desk.post("numbers", provider="meta", callback_url=f"{url}/meta", verify_token="v", **of_meta)
    of_twilio = {"account_sid": SID, "phone": OURS, "auth_token": "12345", "refusals": "status"}
    await desk.post("numbers", provider="twilio", callback_url=f"{url}/twilio#rc=3&rp=all", **of_twilio)
    return desk


@pytest.fixture
async def meta_line(simulator: Running) -> AsyncIterator[GraphLine]:
    url = f"{simulator.url}/graph/v25.0"
    async with AsyncExitStack() as stack:
        upstream = Upstream(url, deadlines=FAST)
        stack.push_async_callback(upstream.aclose)
        yield GraphLine(upstream, Downloads(url, metas), phone_number_id=ACCOUNT, token="EAA-token")


@pytest.fixture
async def twilio_line(simulator: Running, gateway: Peer) -> AsyncIterator[TwilioLine]:
    url = f"{simulator.url}/twilio"
    async with AsyncExitStack() as stack:
        upstream = Upstream(url, deadlines=FAST)
        stack.push_async_callback(upstream.aclose)
        yield TwilioLine(
            *(upstream, upstream, Downloads(url, twilios)),
            account=Account(SID, "12345"),
            from_number=OURS,
            status_callback=lambda reference: f"{gateway.url}/status/{reference}",
        )


def letter(content: Content | str, reference: str = "send-1", reply_to: str = "") -> Letter:
    said = TextContent(content) if isinstance(content, str) else content
    return Letter(Recipient(ASHA), said, reference, reply_to)


async def posted(gateway: Peer, path: str, wanted: int) -> list[bytes]:
    """The bodies of the first webhooks at this path, once there are so many."""
    with trio.fail_after(5):
        while True:
            heads = [each.partition(b"\r\n\r\n") for each in gateway.requests]
            bodies = [body for head, _, body in heads if f" {path}".encode() in head.split(b"\r\n")[0]]
            if len(bodies) >= wanted:
                return bodies
            await trio.sleep(0.02)


def form_of(body: bytes) -> list[tuple[str, str]]:
    return [*httpx2.QueryParams(body.decode()).multi_items()]


async def test_a_talk_with_metas_number(desk: Desk, meta_line: GraphLine, gateway: Peer) -> None:
    said = await desk.say(ACCOUNT, {"type": "text", "text": "नमस्ते"})
    arrival = meta.read((await posted(gateway, "/meta", 1))[0])[0]
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.update, Message)
    assert (arrival.key, arrival.update.text) == (said["ids"][0], "नमस्ते")
    await meta_line.show_typing(arrival.key)
    sent = await meta_line.send(letter("Hello *Asha*", reply_to=arrival.key))
    items = await desk.inbox(ACCOUNT)
    assert [item["type"] for item in items] == ["read", "typing", "text"]
    assert items[2]["text"] == "Hello *Asha*"
    assert items[2]["reply_to"] == arrival.key
    bodies = (await posted(gateway, "/meta", 4))[1:4]
    told = [msgspec.json.decode(body)["entry"][0]["changes"][0]["value"]["statuses"][0] for body in bodies]
    assert [each["status"] for each in told] == ["sent", "delivered", "read"]
    assert {(each["id"], each["biz_opaque_callback_data"]) for each in told} == {(sent.provider_id, "send-1")}


async def test_a_talk_with_twilios_number(desk: Desk, twilio_line: TwilioLine, gateway: Peer) -> None:
    said = await desk.say(OURS, {"type": "text", "text": "नमस्ते"})
    body = (await posted(gateway, "/twilio", 1))[0]
    arrival = twilio.read(form_of(body))
    assert isinstance(arrival, Arrival)
    assert arrival.key == said["ids"][0]
    head = gateway.requests[0].partition(b"\r\n\r\n")[0].decode()
    signature = head.lower().index("x-twilio-signature: ") + len("x-twilio-signature: ")
    assert twilio.signed(["12345"], f"{gateway.url}/twilio", form_of(body), head[signature : signature + 28])
    await twilio_line.show_typing(arrival.key)
    sent = await twilio_line.send(letter("Hello"))
    assert [item["type"] for item in await desk.inbox(OURS)] == ["read", "typing", "text"]
    told = [dict(form_of(each)) for each in await posted(gateway, "/status/send-1", 3)]
    assert [each["MessageStatus"] for each in told] == ["sent", "delivered", "read"]
    assert {each["MessageSid"] for each in told} == {sent.provider_id}


async def test_the_lines_find_their_numbers_good(desk: Desk, meta_line: GraphLine, twilio_line: TwilioLine) -> None:
    assert (await meta_line.check()).phone == "+15550783881"
    assert (await meta_line.check()).per_second == 80
    assert (await twilio_line.check()).phone == OURS


async def test_another_token_opens_nothing(
    desk: Desk, client: httpx2.AsyncClient, meta_line: GraphLine, gateway: Peer
) -> None:
    await desk.post("numbers", provider="meta", account="2", business="W2", phone="+15550000001", token="EAA-other")
    path = f"/graph/v25.0/{ACCOUNT}"
    got = [
        (await client.get(path, headers={"authorization": f"Bearer {token}"})).json() for token in ("x", "EAA-other")
    ]
    assert [each["error"]["code"] for each in got] == [190, 10]
    assert (await client.post("/graph/v25.0/3/messages", json={})).json()["error"]["code"] == 33
    twilios_reply = await client.get(f"/twilio/2010-04-01/Accounts/{SID}.json", auth=(SID, "wrong"))
    assert (twilios_reply.status_code, twilios_reply.json()["code"]) == (401, 20003)


@pytest.mark.parametrize("kind", ["voice", "image", "document"])
async def test_what_a_user_sends_can_be_fetched_once_the_link_is_looked_up(
    desk: Desk, meta_line: GraphLine, gateway: Peer, kind: str
) -> None:
    await desk.say(ACCOUNT, {"type": kind})
    arrival = meta.read((await posted(gateway, "/meta", 1))[0])[0]
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.update, Message)
    media = arrival.update.media
    assert media is not None
    await desk.order(ACCOUNT, "refuse", on="download")
    wanted = FileWanted(media.id, media.url, media.media_type, media.sha256)
    file = await meta_line.fetch(wanted, 1 << 20)
    assert sha256(file.data).hexdigest() == media.sha256
    assert (await desk.counts(ACCOUNT))["downloads"] == 1
    await desk.post("clock", advance_s=8 * 86_400)
    with pytest.raises(MediaUnavailable):
        await meta_line.fetch(wanted, 1 << 20)


@pytest.mark.parametrize("redirected", [False, True])
async def test_twilios_files_come_at_once_or_by_redirect(
    desk: Desk, twilio_line: TwilioLine, gateway: Peer, redirected: bool
) -> None:
    await desk.post("faults", account=OURS, redirect_media=redirected)
    await desk.say(OURS, {"type": "voice", "ms": 700})
    arrival = twilio.read(form_of((await posted(gateway, "/twilio", 1))[0]))
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.update, Message)
    media = arrival.update.media
    assert media is not None
    file = await twilio_line.fetch(FileWanted(url=media.url, media_type=media.media_type), 1 << 20)
    assert file.data == opus(700)


async def test_an_uploaded_voice_note_reaches_the_phone(desk: Desk, meta_line: GraphLine) -> None:
    await desk.say(ACCOUNT, {"type": "text", "text": "hi"})
    media_id = await meta_line.upload(opus(900), "audio/ogg", "reply.ogg")
    await meta_line.send(letter(MediaContent("audio", media_id=media_id, voice=True)))
    item = (await desk.inbox(ACCOUNT))[0]
    assert item["media"] == {"id": media_id, "voice": True}
    assert (await desk.get("file", id=media_id))["sha256"] == sha256(opus(900)).hexdigest()


async def test_choices_and_templates_reach_the_phone(desk: Desk, meta_line: GraphLine, twilio_line: TwilioLine) -> None:
    template = TemplateContent("hello_world", "en_US")
    await meta_line.send(letter(template))
    for account in (ACCOUNT, OURS):
        await desk.say(account, {"type": "text", "text": "hi"})
    for count in (3, 10):
        choices = ChoiceContent("Which?", tuple((f"c{n}", f"Choice {n}") for n in range(count)))
        await meta_line.send(letter(choices))
        await twilio_line.send(letter(choices))
    await twilio_line.send(letter(TemplateContent("HX" + "0" * 32, variables={"1": "Asha"})))
    shown = await desk.inbox(ACCOUNT)
    assert [(item["type"], len(item.get("choices", ()))) for item in shown] == [
        *[("template", 0), ("interactive", 3), ("interactive", 10)],
    ]
    assert "Choice 9" in (await desk.inbox(OURS))[1]["text"]


@pytest.mark.parametrize("fault", ["reset_accepted", "error_500_accepted", "garbage"])
async def test_a_lost_reply_is_cleared_up_by_the_statuses(
    desk: Desk, meta_line: GraphLine, gateway: Peer, fault: str
) -> None:
    await desk.say(ACCOUNT, {"type": "text", "text": "hi"})
    await desk.order(ACCOUNT, fault)
    with pytest.raises(OutcomeUnknown), trio.fail_after(12):
        await meta_line.send(letter("Hello"))
    bodies = (await posted(gateway, "/meta", 4))[1:]
    assert all(b'"biz_opaque_callback_data":"send-1"' in body for body in bodies)
    assert len(await desk.inbox(ACCOUNT)) == 1


@pytest.mark.parametrize("fault", ["hang", "hang_accepted"])
async def test_a_hang_is_a_hang_until_the_client_leaves(desk: Desk, client: httpx2.AsyncClient, fault: str) -> None:
    await desk.say(ACCOUNT, {"type": "text", "text": "hi"})
    await desk.order(ACCOUNT, fault)
    headers = {"authorization": "Bearer EAA-token"}
    path, body = f"/graph/v25.0/{ACCOUNT}/messages", text_body()
    with pytest.raises(httpx2.ReadTimeout):
        await client.post(path, json=body, headers=headers, timeout=0.3)
    assert len(await desk.inbox(ACCOUNT, wait=0)) == (fault == "hang_accepted")
    assert (await client.post(path, json=body, headers=headers)).status_code == 200


async def test_a_slow_reply_is_slow(desk: Desk, client: httpx2.AsyncClient) -> None:
    await desk.order(ACCOUNT, "slow", delay_s=0.4)
    headers = {"authorization": "Bearer EAA-token"}
    reply = await client.post(f"/graph/v25.0/{ACCOUNT}/messages", json=text_body(), headers=headers)
    assert reply.elapsed.total_seconds() >= 0.4


@pytest.mark.parametrize("fault", ["reset", "error_500"])
async def test_an_unaccepted_send_reaches_nobody(desk: Desk, twilio_line: TwilioLine, fault: str) -> None:
    await desk.say(OURS, {"type": "text", "text": "hi"})
    await desk.order(OURS, fault)
    with pytest.raises(OutcomeUnknown):
        await twilio_line.send(letter("Hello"))
    assert await desk.inbox(OURS, wait=0) == []
    assert await twilio_line.find(letter("Hello"), 0) is None


async def test_a_lost_reply_of_twilio_is_found_in_the_list(desk: Desk, twilio_line: TwilioLine) -> None:
    await desk.say(OURS, {"type": "text", "text": "hi"})
    await desk.order(OURS, "reset_accepted")
    with pytest.raises(OutcomeUnknown):
        await twilio_line.send(letter("Hello"))
    found = await twilio_line.find(letter("Hello"), 0)
    assert found is not None
    sends = (await desk.get("book", account=OURS))["numbers"][0]["sends"]
    assert [each["id"] for each in sends] == [found.provider_id]


@pytest.mark.parametrize(
    ("code", "kind"), [(131056, "pair_rate"), (131047, "window"), (190, "account"), (2, "transient")]
)
async def test_a_refusal_on_demand_is_read_as_what_it_is(
    desk: Desk, meta_line: GraphLine, code: int, kind: str
) -> None:
    await desk.order(ACCOUNT, "refuse", code=code)
    with pytest.raises(Refused) as refusal:
        await meta_line.send(letter("Hello"))
    assert (refusal.value.kind, refusal.value.code) == (kind, str(code))


@pytest.mark.parametrize("url", ["not a url", "http://[", "http://exa mple.test", "ftp://a.test", "http://127.0.0.1:1"])
async def test_a_callback_that_leads_nowhere_ends_nothing(
    desk: Desk, client: httpx2.AsyncClient, twilio_line: TwilioLine, url: str
) -> None:
    await desk.post("numbers", provider="meta", account="2", phone="+15550000001", callback_url=url)
    who = {"phone": ASHA}
    said = {"account": "2", "from": who, "messages": [{"text": "hi"}], "wait_s": 5}
    assert (await client.post("/whatsapp/say", json=said)).status_code in {200, 400}
    await desk.say(OURS, {"text": "hi"})
    form = {"From": f"whatsapp:{OURS}", "To": f"whatsapp:{ASHA}", "Body": "hi", "StatusCallback": url}
    path = f"/twilio/2010-04-01/Accounts/{SID}/Messages.json"
    assert (await client.post(path, data=form, auth=(SID, "12345"))).status_code == 201
    await trio.sleep(0.5)
    assert [item["text"] for item in await desk.inbox(OURS)] == ["hi"]


async def test_a_number_may_ask_for_metas_question_at_once(desk: Desk, gateway: Peer) -> None:
    fields = {"account": "2", "phone": "+15550000001", "callback_url": f"{gateway.url}/meta", "verify_token": "v&1"}
    shown = await desk.post("numbers", provider="meta", verify=True, **fields)
    assert shown["verified"] is False
    assert gateway.requests[0].startswith(b"GET /meta?hub.mode=subscribe&hub.challenge=1")
    assert b"hub.verify_token=v%261 " in gateway.requests[0]


async def test_a_thousand_messages_come_in_one_body(desk: Desk, gateway: Peer) -> None:
    messages = [{"type": "text", "text": f"m{n}"} for n in range(1000)]
    await desk.say(ACCOUNT, *messages, shape={"batch": True, "layout": "entry", "duplicate": 1})
    first, second = await posted(gateway, "/meta", 2)
    assert first == second
    assert len(meta.read(first)) == 1000


async def test_raw_bodies_are_signed(desk: Desk, gateway: Peer) -> None:
    await desk.post("say", account=ACCOUNT, raw="no json", wait_s=5)
    head, _, body = gateway.requests[0].partition(b"\r\n\r\n")
    signature = head.partition(b"x-hub-signature-256: ")[2].partition(b"\r\n")[0].decode()
    assert body == b"no json"
    assert meta.signed(["s"], body, signature)


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        (400, "numbers", {"provider": "signal", "phone": "+1"}),
        (400, "numbers", {"provider": "meta", "phone": "+15550783881"}),
        (400, "say", {"account": ACCOUNT, "messages": []}),
        (400, "say", {"account": ACCOUNT, "from": {"phone": ASHA}, "messages": [{"type": "poem"}]}),
        (400, "say", {"account": ACCOUNT, "from": {"phone": ASHA}, "messages": [{"type": "image", "data": "%"}]}),
        (404, "say", {"account": "nobody", "from": {"phone": ASHA}}),
        (400, "faults", {"account": ACCOUNT, "fault": "sing"}),
        (400, "faults", {"account": ACCOUNT, "pace": {"colour": 1}}),
        (400, "clock", {"advance_s": "soon"}),
    ],
)
async def test_a_desk_says_what_is_wrong(
    desk: Desk, client: httpx2.AsyncClient, status: int, path: str, body: Json
) -> None:
    reply = await client.post(f"/whatsapp/{path}", json=body)
    assert (reply.status_code, list(reply.json())) == (status, ["error"])


async def test_a_desk_never_shows_a_secret(desk: Desk, client: httpx2.AsyncClient) -> None:
    await desk.say(ACCOUNT, {"type": "text", "text": "hi"})
    shown = [(await client.get(f"/whatsapp/{path}")).text for path in ("numbers", "book")]
    assert not [each for each in shown for secret in ("EAA-token", "12345", '"s"') if secret in each]
