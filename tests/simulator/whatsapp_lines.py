"""The gateway's own lines to the WhatsApp simulator, the desks that see both, and the webhooks that came."""

from __future__ import annotations

from typing import Any

import httpx2
import trio

from app.providers.deadlines import Deadlines
from app.providers.whatsapp.line import Content, Letter, Recipient, TextContent
from tests.providers.peer import Peer
from tests.simulator.calling_whatsapp import Json

ACCOUNT = "106540352242922"
SID = "AC00000000000000000000000000000001"
OURS = "+14155238886"
ASHA = "+919876543210"
FAST = Deadlines(connect_s=1, gap_s=1, error_body_s=1)


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
