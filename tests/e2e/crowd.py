"""A crowd of clients with bad manners: what each asks, where it breaks off, and what it got to know."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

import h11
import trio

from app.providers.breaker import Breakers
from tests.e2e.pulse import Pulse
from tests.e2e.surfaces import CHAT, MESSAGES, RESPONSES, TWINS, Surface
from tests.e2e.wire_clients import H1Client
from tests.house import Customer

#: Where a client hangs up: inside its request, right after it, later, after so many bytes, at the last byte.
Cut = Literal["in request", "at once", "later", "at byte", "at end"]

MODELS: Final = (
    "openai/gpt-5.4-mini",
    "anthropic/claude-haiku-4.5",
    "kimi-k2.6",
    "glm-4.7-flash",
    "sarvam-30b",
    "kimi-k2.5-fast",
)
#: Where they call, as often as it stands here.
SHARES: Final = (*(3 * (CHAT,)), *(2 * (RESPONSES,)), MESSAGES, *TWINS)
#: Answers that come whole although something is odd about them.
ODD: Final = (
    *("noisy_headers", "usage_zero", "no_usage", "usage_each_chunk", "no_role", "role_each_chunk", "repeat_ids"),
    *("no_index", "all_zero_index", "object_arguments", "stop_with_tools", "length", "split_utf8"),
    *("drop_after_usage", "shuffled_choices"),
)
#: Everything a provider can do wrong that ends by itself.
FAULTS: Final = (
    *("500", "502", "503", "529", "html_500", "401", "402", "403", "404", "429", "429_retry_after_7"),
    *("context_length", "content_policy", "bad_request", "late_error:100", "error_200", "close_before_body"),
    *("bad_first_chunk", "invalid_json_body", "eof_mid", "end_mid", "rst_mid", "error_mid", "empty_answer"),
)
#: Those that shut the route for everybody else: their breakers open at once, and stay so for seconds.
SHUTTING: Final = frozenset({"401", "402", "403", "404", "429", "429_retry_after_7"})
#: A mix that leaves most breakers shut: half of it are the requests' own faults, which open none.
BEARABLE: Final = (
    *(fault for fault in FAULTS if fault not in SHUTTING),
    *(4 * ("context_length", "content_policy", "bad_request")),
)
#: What ends only when the client leaves.
HANGS: Final = ("hang_headers", "hang_headers_after_accept", "hang_mid", "hang_before_done", "5xx_hang_body")
#: Answers of a believable pace: tokens a second.
PACES: Final = (20, 30, 40)
#: No call of the crowd takes longer, unless the gateway leaves its client waiting.
PATIENCE_S: Final = 20


class Tireless(Breakers):
    """Breakers that never open, so that every fault of the crowd reaches the wire."""

    def wait_s(self, provider: str, model: str, now: float) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One call to make. `pace` 0 is an answer at once; `cut` None is a client that stays to the end."""

    tag: str
    surface: Surface
    model: str
    streamed: bool
    kind: Literal["plain", "odd", "fault", "hang"]
    trigger: str
    tokens: int
    pace: int
    extra_cues: str
    cut: Cut | None
    cut_at: float
    resets: bool

    @property
    def cues(self) -> str:
        cues = [f"[tokens={self.tokens}]", f"[pace={self.pace}]", self.extra_cues]
        return " ".join(cues + ([f"[mock={self.trigger}]"] if self.trigger else []))


@dataclass(slots=True)
class Told:
    """What one client knows. `charged_by_then`: how its call stood in the ledger at the moment it saw the end.

    `code` is the error's, be it a status of its own or an event of a stream.
    """

    spec: Spec
    status: int | None = None
    call_id: str | None = None
    code: str | None = None
    saw_end: bool = False
    text: str = ""
    left_at: float | None = None
    charged_by_then: str = ""


def specs(count: int, seed: int, faults: Sequence[str] = FAULTS) -> Iterator[Spec]:
    """`count` calls: an eighth faults, an eighth that hang, a quarter odd; about four in ten are broken off."""
    dice, places = random.Random(seed), random.Random(f"{seed} places")
    for number in range(count):
        eighth = number % 8
        kind: Literal["plain", "odd", "fault", "hang"] = "plain"
        trigger = ""
        if eighth == 1:
            kind, trigger = "fault", faults[number // 8 % len(faults)]
        elif eighth == 3:
            kind, trigger = "odd", ODD[number // 8 % len(ODD)]
        elif eighth == 5:
            kind, trigger = "hang", HANGS[number // 8 % len(HANGS)]
        elif eighth == 7:
            kind, trigger = "odd", f"fail_once:{seed}-{number}"
        yield _spec(number, places.choice(SHARES), kind, trigger, dice)


def _spec(
    number: int,
    surface: Surface,
    kind: Literal["plain", "odd", "fault", "hang"],
    trigger: str,
    dice: random.Random,
) -> Spec:
    cuts: tuple[Cut, ...] = ("in request", "at once", "later", "later", "at byte", "at byte", "at byte", "at end")
    leaves = kind == "hang" or dice.random() < 0.42
    cut = (dice.choice(("at once", "later", "later")) if kind == "hang" else dice.choice(cuts)) if leaves else None
    pace = dice.choice(PACES) if kind == "plain" and dice.random() < 0.8 else 0
    tokens = dice.randint(20, 50) if pace else dice.randint(1, 120)
    if trigger == "split_utf8":
        tokens = 2  # every byte is a write of its own
    extra = dice.choice(("", "", "[cached=5]", "[first=120]")) if pace else "[first=1200]"
    return Spec(
        tag=f"c{number:05}",
        surface=surface,
        model=dice.choice(MODELS),
        streamed=dice.random() < 0.65,
        kind=kind,
        trigger=trigger,
        tokens=tokens,
        pace=pace,
        extra_cues=extra,
        cut=cut,
        cut_at=dice.uniform(0, 0.3 if kind == "fault" else 1.6) if cut == "later" else dice.uniform(1, 8000),
        resets=dice.random() < 0.3,
    )


@dataclass(slots=True)
class Crowd:
    """Makes the calls of a customer, never more than `size` at a time.

    `pick` gives the URL for the next client, `standing` how a call stands in the ledger at this moment.
    """

    customer: Customer
    pick: Callable[[], str]
    standing: Callable[[str], str]
    size: int
    told: list[Told] = field(default_factory=list)
    pulse: Pulse = field(default_factory=Pulse)
    _running: int = 0
    _sum_running: int = 0

    @property
    def at_a_time(self) -> float:
        """How many calls ran when one began, on average."""
        return self._sum_running / len(self.told)

    async def make(self, calls: Iterator[Spec]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.pulse.run)
            async with trio.open_nursery() as workers:
                for _ in range(self.size):
                    workers.start_soon(self._worker, calls)
            nursery.cancel_scope.cancel()

    async def _worker(self, calls: Iterator[Spec]) -> None:
        for spec in calls:
            self._running += 1
            self._sum_running += self._running
            try:
                with trio.fail_after(PATIENCE_S):
                    self.told.append(await self._call(spec))
            except trio.TooSlowError as error:
                error.add_note(f"unanswered: {spec}")
                raise
            self._running -= 1

    async def _connect(self, surface: Surface) -> H1Client:
        return await H1Client.connect(self.pick(), surface)

    async def _call(self, spec: Spec) -> Told:
        told = Told(spec)
        client = await self._connect(spec.surface)
        question = spec.surface.question(spec.tag, spec.cues, spec.model, stream=spec.streamed)
        request = client.request(self.customer.key, question)
        try:
            if spec.cut == "in request":
                await client.send(request[: int(spec.cut_at) % len(request)])
                told.left_at = await client.leave("reset" if spec.resets else "close")
                return told
            await client.send(request)
            await self._listen(client, told)
        finally:
            client.close()
        answer = client.answer
        told.status, told.call_id, told.saw_end = answer.status, answer.call_id, answer.saw_end
        told.text, told.code = answer.text(), answer.error_code
        return told

    async def _listen(self, client: H1Client, told: Told) -> None:
        """Read the answer as far as the spec says, then leave."""
        spec = told.spec
        wait_s = {"at once": 0.0, "later": spec.cut_at}.get(spec.cut or "", float("inf"))
        most = int(spec.cut_at) if spec.cut == "at byte" else None
        seen = 0
        with trio.move_on_after(wait_s), suppress(OSError, h11.RemoteProtocolError):
            while not client.answer.complete and (most is None or seen < most):
                seen += (came := await client.read(65536 if most is None else min(65536, most - seen)))
                if client.answer.saw_end and not told.charged_by_then:
                    assert client.answer.call_id is not None
                    told.charged_by_then = self.standing(client.answer.call_id)
                if not came or (spec.cut == "at end" and client.answer.saw_end):
                    break
        if not client.answer.complete:
            told.left_at = await client.leave("reset" if spec.resets else "close")
