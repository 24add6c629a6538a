"""Processes of one gateway inside of one: each with services, bells and a database handle of its own. They share
nothing but the database and the provider, and die as processes do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from app.core.errors import Problem
from app.core.file_links import media_links
from app.providers.receivers import Answer as HookAnswer
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.storage.blobs import Blobs
from app.storage.database import Database, Engine, open_database
from app.storage.engines import open_engine
from app.usecases.meter import Meter
from catalog.catalog import Catalog
from channels.answering.hearing import Ears
from channels.answering.lanes import Lanes
from channels.answering.replying import Replier, ReplyServices
from channels.answering.tools import Tools
from channels.answering.turns import Turns, TurnServices
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.conversations.upkeep import ChannelUpkeep
from channels.inbound.intake import Gate, Intake, Unsigned
from channels.inbound.sorter import Sorter
from channels.media import MediaStore
from channels.media_links import PATH, MediaLinks
from channels.numbers.lines import Lines, Ways
from channels.outbound.enclosing import Files
from channels.outbound.reconciling import Reconciler
from channels.outbound.senders import Senders
from channels.outbound.template_charges import TemplateCharges
from channels.staff.desk import Desk
from scripts.simulator.whatsapp.wire import Outgoing, Reply
from tests.channels.day.clockwork import MortalEngine, Traffic
from tests.channels.day.model import Model
from tests.channels.day.speech import Audio, Speech
from tests.channels.day.wire import HOST, Way, Wire
from tests.channels.mailroom import APP_SECRET, PUBLIC_URL, SEALER

PLANS = Catalog.load().plans
#: Of `sweep_s` in app.config.
SWEEP_S = 5.0


class Shop:
    """The tenants' own functions."""

    async def post(self, _url: str, _headers: list[tuple[bytes, bytes]], _body: bytes) -> HookAnswer:
        await trio.sleep(0.2)
        return HookAnswer(200, b'{"price": 5}')


@dataclass
class World:
    """What all processes have in common."""

    url: str
    folder: Path
    traffic: Traffic
    wire: Wire
    model: Model
    speech: Speech


class Process:
    """One life of a process; a restart is another one."""

    def __init__(self, world: World, clock: Callable[[], int]) -> None:
        self._world = world
        self._clock = clock
        self._shutdown = trio.Event()
        self.ready = trio.Event()
        self.over = trio.Event()
        self._intake: Intake
        self._media_links: MediaLinks
        self.desk: Desk
        self.engine: MortalEngine
        self.db: Database

    @property
    def alive(self) -> bool:
        return self.ready.is_set() and not self.engine.died.is_set() and not self._shutdown.is_set()

    async def run(self) -> None:
        """Until it is killed or stopped."""
        self.engine = MortalEngine(await open_engine(self._world.url, synchronous="NORMAL"), self._world.traffic)
        engine: Engine = self.engine
        async with open_database(engine) as db, trio.open_nursery() as nursery:
            self.db = db
            self._start(nursery)
            self.ready.set()
            await self.engine.died.wait()
            nursery.cancel_scope.cancel()
        self.over.set()

    def kill(self, *, commits: int = 0, kept: bool = False) -> None:
        self.engine.kill(commits=commits, kept=kept)

    def stop(self) -> None:
        """As a signal would: what is under way comes to its end, and then it is gone."""
        self._shutdown.set()

    async def serve(self, outgoing: Outgoing) -> Reply:
        """What its HTTP server answers a provider: to a webhook, or to who wants a file by its link."""
        target = outgoing.url.removeprefix(PUBLIC_URL)
        try:
            if outgoing.body is None:
                return Reply(200, await self._file(target.removeprefix(f"{PATH}/")))
            await self._take(target, outgoing.body, outgoing.headers)
        except Unsigned:
            return Reply(401)
        except Problem as problem:
            return Reply(problem.status)
        return Reply(200)

    async def _file(self, token: str) -> bytes:
        linked = await self._media_links.find(token)
        return await self._media_links.read(linked, 0, linked.row.size)

    async def _take(self, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        intake = self._intake
        match target.removeprefix("/api/v1/webhooks/").split("/"):
            case ["whatsapp"]:
                await intake.take_shared_meta(body, headers.get("x-hub-signature-256"))
            case ["twilio", "whatsapp", number_id]:
                await intake.take_twilio(number_id, target, body, headers.get("x-twilio-signature"))
            case ["twilio", "whatsapp-status", number_id, send_id]:
                await intake.take_twilio_status(number_id, send_id, target, body, headers.get("x-twilio-signature"))
            case _:
                raise AssertionError(target)

    def _start(self, nursery: trio.Nursery) -> None:
        world, db, clock = self._world, self.db, self._clock
        sorting, lanes_bell, senders_bell = Bell(), Bell(), Bell()
        meter = Meter(db, clock=clock)
        lines = Lines(SEALER, _ways(world.wire), public_url=PUBLIC_URL)
        media = MediaStore(db, Blobs(world.folder / "media"), clock=clock)
        self._media_links = MediaLinks(media, media_links("a secret of links"), PUBLIC_URL, clock=clock)
        lanes = Lanes(db, self._turns(meter, lines, media, senders_bell), bell=lanes_bell, clock=clock)
        senders = Senders(db, lines, bell=senders_bell, clock=clock, files=Files(media, self._media_links.url))
        bells = {"bell": sorting, "lanes_bell": lanes_bell, "senders_bell": senders_bell}
        hurry = trio.Event()
        nursery.start_soon(lanes.run, self._shutdown, hurry)
        nursery.start_soon(senders.run, self._shutdown, hurry)
        nursery.start_soon(Sorter(db, lambda: PLANS, clock=clock, **bells).run)
        nursery.start_soon(Reconciler(db, lines, clock=clock).run)
        nursery.start_soon(TemplateCharges(db, meter, clock=clock).run)
        nursery.start_soon(ChannelUpkeep(db, inbox_days=30, clock=clock).run)
        nursery.start_soon(meter.settler.run_sweeper, SWEEP_S, meter.renew_s)
        nursery.start_soon(meter.run_renewer)
        nursery.start_soon(meter.settler.run)
        nursery.start_soon(self._die_when_ended, lanes.ended, senders.ended)
        self._intake = Intake(db, SEALER, Gate((APP_SECRET,), "", PUBLIC_URL), bell=sorting, clock=clock)
        self.desk = Desk(db, plans=lambda: PLANS, senders_bell=senders_bell, clock=clock)

    async def _die_when_ended(self, *ended: trio.Event) -> None:
        for each in ended:
            await each.wait()
        self.engine.died.set()

    def _turns(self, meter: Meter, lines: Lines, media: MediaStore, senders_bell: Bell) -> Turns:
        db, clock, world = self.db, self._clock, self._world
        audio: Any = Audio(world.speech, meter)  # see `playing`
        nobody: Any = None  # searches
        replies = ReplyServices(
            db=db,
            ask=partial(world.model.ask, meter),
            ears=Ears(db, media, audio, clock=clock),
            tools=Tools(Shop(), nobody),
            model_for=lambda _config, _image: "kimi-k2.5",
            takes_tools=lambda _model: True,
            secret_of=lambda _tenant, _sealed: "a secret of tools",
            clock=clock,
            voiced=frozenset({"meta", "twilio"}),
        )
        services = TurnServices(
            db=db,
            lines=lines,
            replier=Replier(replies),
            voice=Voice(db, media, audio, senders=senders_bell, clock=clock),
            sees=lambda _config: False,
            senders=senders_bell,
            clock=clock,
        )
        return Turns(services)


def _ways(wire: Wire) -> Ways:
    """To both providers, for messages and for files."""
    graph: Any = Way(wire, "/graph/v25.0")
    twilio: Any = Way(wire, "/twilio")
    files: Any = Way(wire)
    downloads = [Downloads(f"http://{HOST}", whose, inside=files) for whose in (metas, twilios)]
    return Ways(graph, twilio, twilio, *downloads)
