"""What the simulator of WhatsApp does wrong on demand, as the gateway's own lines see it."""

from __future__ import annotations

import httpx2
import pytest
import trio

from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import OutcomeUnknown, Refused
from app.providers.whatsapp.twilio import TwilioLine
from tests.providers.peer import Peer
from tests.simulator.calling_whatsapp import text_body
from tests.simulator.whatsapp_lines import ACCOUNT, ASHA, OURS, SID, Desk, letter, posted


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
