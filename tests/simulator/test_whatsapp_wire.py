"""The gateway's own lines talk with the simulator over loopback, and webhooks come to a host."""

from __future__ import annotations

from hashlib import sha256

import httpx2
import msgspec
import pytest

from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import ChoiceContent, FileWanted, MediaContent, MediaUnavailable, TemplateContent
from app.providers.whatsapp.twilio import TwilioLine
from channels.whatsapp import meta, twilio
from channels.whatsapp.updates import Arrival, Message
from scripts.simulator.sound import opus
from tests.providers.peer import Peer
from tests.simulator.whatsapp_lines import ACCOUNT, OURS, SID, Desk, form_of, letter, posted


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
