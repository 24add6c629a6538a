"""How the end-to-end tests ask: a JSON client, a stream read byte by byte with times, and a look at the books."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import h11
import httpx2
import msgspec
import trio

from app.storage.database import Job
from app.storage.ledger import broken_tenants
from scripts.simulator.book import Record
from tests import databases
from tests.databases import open_view
from tests.house import House, open_house
from tests.openapi.documents import assert_told_of

T = TypeVar("T")
Json = dict[str, Any]
#: What the gateway asks providers besides what its clients want.
LOOKUPS: Final = ("/models", "/key", "/credits", "/generation")
CHAT: Final = "/v1/chat/completions"
DONE: Final = "[DONE]"
#: One model of each dialect, by the name the simulator gives the dialect.
MODELS: Final = {
    "openrouter": "openai/gpt-5.4-mini",
    "cloudflare": "kimi-k2.6",
    "sarvam": "sarvam-30b",
    "openai": "kimi-k2.5-fast",
}
#: Settings of a gateway whose fast host is away: nothing listens on the discard port.
NO_FAST: Final[dict[str, Any]] = {"fast_base_url": "http://127.0.0.1:9/v1"}


def question(text: str = "hi", model: str | None = "kimi-k2.6", **fields: Any) -> Json:
    """A chat request; `model` None names none."""
    named = {} if model is None else {"model": model}
    return {**named, "messages": [{"role": "user", "content": text}], **fields}


@dataclass(frozen=True, slots=True)
class Books:
    """What the database says of the house's customer, and the tenants whose books do not balance."""

    balance: int
    held: int
    calls: int
    charged: int
    broken: list[str]


@dataclass(frozen=True, slots=True)
class Event:
    """One block of a stream; `at` is the trio time of its last byte."""

    at: float
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def payload(self) -> str:
        """What its data line holds."""
        return self.text.removeprefix("data: ")

    @property
    def data(self) -> Json:
        chunk: Json = msgspec.json.decode(self.payload)
        return chunk

    @property
    def delta(self) -> Json:
        """The first choice's delta, empty where there is no choice."""
        choices = self.data.get("choices") or [{"delta": {}}]
        delta: Json = choices[0]["delta"]
        return delta


class Stream:
    """A streamed answer on a connection of its own: status and headers are in, `async for` gives the blocks."""

    def __init__(self, socket: trio.SocketStream, http: h11.Connection, head: h11.Response, began: float) -> None:
        self.status = head.status_code
        self.headers = [(name.decode(), value.decode()) for name, value in head.headers]
        self.began = began
        self.head_at = trio.current_time()
        #: When the body ended, however it did; and whether it ended as HTTP wants it.
        self.ended_at = 0.0
        self.ended_well = False
        self._socket = socket
        self._http = http
        self._unread = b""
        self._blocks: deque[Event] = deque()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        while not self._blocks:
            data = await self.piece()
            if not data:
                assert self._unread == b"", f"the last block is not ended by a blank line: {self._unread!r}"
                raise StopAsyncIteration
            *blocks, self._unread = (self._unread + data).split(b"\n\n")
            self._blocks.extend(Event(trio.current_time(), block.decode()) for block in blocks)
        return self._blocks.popleft()

    async def piece(self) -> bytes:
        """What the network brings next of the body, b"" at its end."""
        match await _next_event(self._socket, self._http):
            case h11.Data(data=data):
                return bytes(data)
            case event:
                self.ended_at, self.ended_well = trio.current_time(), isinstance(event, h11.EndOfMessage)
                return b""

    async def events(self) -> list[Event]:
        return [event async for event in self]

    async def rest(self) -> bytes:
        body = b""
        while data := await self.piece():
            body += data
        return body


async def _next_event(socket: trio.SocketStream, http: h11.Connection) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await socket.receive_some())
    return event


@dataclass(frozen=True, slots=True)
class Caller:
    """The house's customer at the gateway."""

    house: House
    http: httpx2.AsyncClient

    async def post(self, body: Json | bytes, path: str = CHAT, **headers: str) -> httpx2.Response:
        """Underscores in header names stand for hyphens."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, content=content, headers=named)

    async def chat(self, text: str = "hi", model: str | None = "kimi-k2.6", **fields: Any) -> httpx2.Response:
        return await self.post(question(text, model, **fields))

    async def served(self, model: str | None, **fields: Any) -> tuple[Json, Json]:
        """The body of a good answer of five tokens, tagged `served`, and its receipt."""
        reply = await self.chat("[tag=served] [tokens=5]", model, **fields)
        assert reply.status_code == 200, reply.text
        return reply.json(), await self.receipt(reply.json()["id"])

    async def receipt(self, call_id: str) -> Json:
        reply = await self.http.get("/v1/generation", params={"id": call_id})
        assert reply.status_code == 200, reply.text
        data: Json = reply.json()["data"]
        return data

    @asynccontextmanager
    async def stream(self, body: Json, path: str = CHAT, **headers: str) -> AsyncIterator[Stream]:
        """Send `body` with `stream` true on a new connection; leaving the block hangs up."""
        address = urlsplit(self.house.url)
        content = msgspec.json.encode({**body, "stream": True})
        sent = {"host": address.netloc, "content-length": str(len(content)), **self.house.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(method="POST", target=path, headers=list(sent.items()))
        head = http.send(request) or b""
        async with await trio.open_tcp_stream(address.hostname or "", address.port or 80) as socket:
            await socket.send_all(head + (http.send(h11.Data(data=content)) or b""))
            http.send(h11.EndOfMessage())
            began = trio.current_time()
            answer = await _next_event(socket, http)
            assert isinstance(answer, h11.Response)
            yield Stream(socket, http, answer, began)

    async def events(self, text: str = "hi", model: str | None = "kimi-k2.6", **fields: Any) -> list[Event]:
        """All blocks of a good streamed answer."""
        async with self.stream(question(text, model, **fields)) as stream:
            assert stream.status == 200, await stream.rest()
            return await stream.events()

    def upstream(self, tag: str | None = None) -> list[Record]:
        """What the providers were asked to answer, with this tag."""
        records = self.house.book.records(tag)
        return [record for record in records if not record.path.partition("?")[0].endswith(LOOKUPS)]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says, oldest first."""
        with open_view(self.house.settings.database_url) as db:
            return db.all(sql, *values)

    def books(self) -> Books:
        with open_view(self.house.settings.database_url) as db:
            tenant = self.house.customer.tenant_id
            row = db.one(
                "SELECT t.balance, t.held, COUNT(c.id), COALESCE(SUM(c.charge), 0) FROM tenants t "
                "LEFT JOIN calls c ON c.tenant_id = t.id WHERE t.id = ? GROUP BY t.id",
                tenant,
            )
            assert row is not None
            balance, held, calls, charged = row
            return Books(balance, held, calls, charged, broken_tenants(db))

    async def settled(self) -> Books:
        """The books once no call is held any more."""

        async def nothing_held() -> bool:
            return not self.books().held

        await until(nothing_held)
        return self.books()


@asynccontextmanager
async def open_caller(where: Path | str, *, customer: Json | None = None, **settings: Any) -> AsyncIterator[Caller]:
    """A house and a client of it. At the end nothing is held and the books balance, whatever the test did.

    Whatever the client is refused with, the OpenAPI document says that it may be.
    """
    async with (
        open_house(where, customer=customer, **settings) as house,
        httpx2.AsyncClient(base_url=house.url, headers=house.headers, timeout=10, verify=False) as http,
    ):
        http.event_hooks = {"response": [assert_told_of]}
        caller = Caller(house, http)
        yield caller
        books = await caller.settled()
        assert books.broken == []


def credits_for(usage: Json, input_usd: float, output_usd: float) -> float:
    """What the usage costs at prices per million tokens: to the sixth decimal, rounded up."""
    input_musd, output_musd = round(input_usd * 1e6), round(output_usd * 1e6)
    micro_usd: int = usage["prompt_tokens"] * input_musd + usage["completion_tokens"] * output_musd
    return -(-micro_usd * 100 // 1_000_000) / 1_000_000


async def until(met: Callable[[], Awaitable[object]], within_s: float = 3.0) -> None:
    """Ask again and again until `met` says yes; fails after `within_s`."""
    with trio.fail_after(within_s):
        while not await met():  # noqa: ASYNC110 - another process, or a task of the gateway, brings it about
            await trio.sleep(0.01)


def elsewhere(house: House, job: Job[T]) -> T:
    """Run `job` as another process of the same gateway would."""
    return databases.elsewhere(house.settings.database_url, job)


def change(house: House, sql: str, *values: Any) -> None:
    """One row changed behind the gateway's back."""
    assert elsewhere(house, lambda db: db.run(sql, *values)) == 1
