"""Processes of one gateway inside of one: each with services, bells and a database handle of its own. They share
nothing but the database and the provider, and die as processes do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from app.providers.receivers import Answer as HookAnswer
from app.providers.whatsapp.media import Downloads, metas
from app.storage.blobs import Blobs
from app.storage.database import Database, Engine, open_database
from app.storage.engines import open_engine
from app.usecases.meter import Meter
from catalog.catalog import Catalog
from channels.answering.lanes import Lanes
from channels.answering.replying import Replier, ReplyServices
from channels.answering.tools import Tools
from channels.answering.turns import Turns, TurnServices
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.conversations.upkeep import ChannelUpkeep
from channels.inbound.intake import Gate, Intake
from channels.inbound.sorter import Sorter
from channels.media import MediaStore
from channels.numbers.lines import Lines, Ways
from channels.outbound.reconciling import Reconciler
from channels.outbound.senders import Senders
from channels.outbound.template_charges import TemplateCharges
from channels.staff.desk import Desk
from tests.channels.day.clockwork import MortalEngine, Traffic
from tests.channels.day.model import Model
from tests.channels.day.wire import Wire
from tests.channels.mailroom import APP_SECRET, SEALER

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


class Process:
    """One life of a process; a restart is another one."""

    def __init__(self, world: World, clock: Callable[[], int]) -> None:
        self._world = world
        self._clock = clock
        self._shutdown = trio.Event()
        self.ready = trio.Event()
        self.over = trio.Event()
        self.intake: Intake
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

    def _start(self, nursery: trio.Nursery) -> None:
        world, db, clock = self._world, self.db, self._clock
        sorting, lanes_bell, senders_bell = Bell(), Bell(), Bell()
        meter = Meter(db, clock=clock)
        wire: Any = world.wire  # has `request`, as an upstream
        ways = Ways(*(wire,) * 3, *(Downloads("https://graph.example.com", metas),) * 2)
        lines = Lines(SEALER, ways)
        media = MediaStore(db, Blobs(world.folder / "media"), clock=clock)
        lanes = Lanes(db, self._turns(meter, lines, media, senders_bell), bell=lanes_bell, clock=clock)
        senders = Senders(db, lines, bell=senders_bell, clock=clock)
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
        self.intake = Intake(db, SEALER, Gate((APP_SECRET,)), bell=sorting, clock=clock)
        self.desk = Desk(db, plans=lambda: PLANS, senders_bell=senders_bell, clock=clock)

    async def _die_when_ended(self, *ended: trio.Event) -> None:
        for each in ended:
            await each.wait()
        self.engine.died.set()

    def _turns(self, meter: Meter, lines: Lines, media: MediaStore, senders_bell: Bell) -> Turns:
        db, clock = self.db, self._clock
        silent: Any = None  # nobody speaks or searches in a day of texts
        replies = ReplyServices(
            db=db,
            ask=partial(self._world.model.ask, meter),
            ears=silent,
            tools=Tools(Shop(), silent),
            model_for=lambda _config, _image: "kimi-k2.5",
            takes_tools=lambda _model: True,
            secret_of=lambda _tenant, _sealed: "a secret of tools",
            clock=clock,
        )
        services = TurnServices(
            db=db,
            lines=lines,
            replier=Replier(replies),
            voice=Voice(db, media, silent, senders=senders_bell, clock=clock),
            sees=lambda _config: False,
            senders=senders_bell,
            clock=clock,
        )
        return Turns(services)
