"""One phone that talks with one bot: it says, it receives, and it knows when nothing more is to come."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from app.commands import Mendable
from scripts.chatting import waiting
from scripts.chatting.asking import Door, Refused, Unreachable
from scripts.chatting.connecting import Place
from scripts.chatting.finding import Partner
from scripts.chatting.orders import Letter
from scripts.chatting.showing import Screen, Shown
from scripts.chatting.waiting import Look, find_conversation

T = TypeVar("T")
CONVERSATIONS: Final = "/api/v1/conversations"
#: How long the simulator keeps a question for news open.
NEWS_S: Final = 20.0
ACCEPTED_S: Final = 10.0
LOOK_EVERY_S: Final = 0.3
PAGE: Final = 100
#: More is not remembered of what is still awaited.
MOST_ASKED: Final = 500


class Talk:
    """`put` is given what was received, in order. All methods raise Mendable when gateway or simulator are gone."""

    def __init__(self, place: Place, partner: Partner, phone: str, name: str, put: Callable[[Shown], None]) -> None:
        self._place = place
        self._partner = partner
        self._who = {"phone": phone, "name": name}
        self._put = put
        self._seen = 0
        self._asked: list[str] = []
        self._said = trio.Event()
        self._news = trio.lowlevel.ParkingLot()
        self._folder: Path | None = None
        self._conversation = ""
        self.screen = Screen(partner.name, self._file, self._own_folder)
        #: How many texts, files and choices have come.
        self.received = 0

    async def begin(self) -> Look | None:
        """Leave aside what came earlier; the conversation as it stands, None when there is none yet."""
        told = await self._call(self._phone, 0.0)
        self._seen = told["received"]
        return await self._look()

    async def say(self, letter: Letter) -> str:
        """Send it; what should be known of that, "" when all is well."""
        self.screen.spoken()
        body = {"account": self._partner.account, "from": self._who, "messages": [letter.saying], "wait_s": ACCEPTED_S}
        told = await self._call(partial(self._place.simulator.post, "/whatsapp/say", body))
        self._asked = [*self._asked, *told["ids"]][-MOST_ASKED:]
        self._said.set()
        refused = [post for post in told["posts"] if post["outcome"] != "delivered"]
        return _not_taken(refused[0]) if refused else ""

    async def resume(self) -> bool:
        """Let the bot answer again; False when there is no conversation yet."""
        await self._look()
        if not self._conversation:
            return False
        path = f"{CONVERSATIONS}/{self._conversation}/autoreply"
        await self._call(partial(self._place.gateway.post, path, {"enabled": True}))
        return True

    async def run_receiver(self) -> None:
        """Receive until cancelled."""
        while True:
            told = await self._call(self._phone, NEWS_S)
            if told["received"] < self._seen:
                raise Mendable("The simulator was started anew. Start this chat again.")
            for item in told["items"]:
                self._put(await trio.to_thread.run_sync(self.screen.show, item))
                self._seen = item["n"]
                self.received += item["type"] not in ("read", "typing")
            self._news.unpark_all()

    async def settle(self) -> Look:
        """Wait until something was said and nothing more is to come of itself; what has come by then is received.

        Whoever calls sets the deadline.
        """
        await self._said.wait()
        while True:
            asked = tuple(self._asked)
            look = await self._look()
            if look is not None and look.is_settled and self._asked == [*asked]:
                break
            await trio.sleep(LOOK_EVERY_S)
        self._asked, self._said = [], trio.Event()
        told = await self._call(self._phone, 0.0)
        while self._seen < told["received"]:
            await self._news.park()
        return look

    def is_waiting(self) -> bool:
        """Whether something was said that is not settled yet."""
        return self._said.is_set()

    async def _look(self) -> Look | None:
        """Nothing is known while the gateway cannot be asked."""
        try:
            return await self._call(self._look_now)
        except (Refused, Unreachable):
            return None

    def _look_now(self) -> Look | None:
        gateway, partner = self._place.gateway, self._partner
        page = gateway.get(CONVERSATIONS, bot_id=partner.bot_id, channel="whatsapp", limit=PAGE)
        found = find_conversation(page, partner.number_id, self._who["phone"])
        if found is None:
            return None
        self._conversation = found["id"]
        messages = gateway.get(f"{CONVERSATIONS}/{found['id']}/messages", limit=PAGE)["data"]
        return waiting.look(found, messages, self._asked, partner.name)

    def _phone(self, wait_s: float) -> Any:
        simulator: Door = self._place.simulator
        whose = {"account": self._partner.account, "phone": self._who["phone"]}
        try:
            return simulator.get("/whatsapp/phone", within_s=wait_s + 10, **whose, after=self._seen, wait=wait_s)
        except (Refused, Unreachable) as error:
            raise Mendable(f"The simulator is gone: was ./scripts/run stopped? ({error})") from None

    def _file(self, file_id: str) -> Any:
        return self._place.simulator.get("/whatsapp/file", id=file_id)

    def _own_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="chat-"))
        return self._folder

    async def _call(self, ask: Callable[..., T], *arguments: float) -> T:
        return await trio.to_thread.run_sync(ask, *arguments, abandon_on_cancel=True)


def _not_taken(post: dict[str, Any]) -> str:
    why = f"it answered {post['status']}" if post["status"] else "it did not answer"
    return f"The gateway has not taken the message ({why}); WhatsApp tries again, as Meta would."
