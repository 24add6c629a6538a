"""The desks of the WhatsApp simulator: webhooks of every shape on demand, faults named, no secret shown."""

from __future__ import annotations

import httpx2
import pytest

from channels.whatsapp import meta
from tests.providers.peer import Peer
from tests.simulator.calling_whatsapp import Json
from tests.simulator.whatsapp_lines import ACCOUNT, ASHA, Desk, posted


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
