"""The channels of one process: what takes in, answers and sends, built from what the whole gateway works with.

They share nothing with the channels of other processes but the database; bells only save each other's looking.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from app.config import Settings
from app.core.file_links import media_links
from app.core.identity import Clock, now_us
from app.core.sealing import Sealer
from app.providers.receivers import Receivers
from app.storage.blobs import Blobs
from app.storage.database import Database
from app.usecases.bots import tools_secret
from app.usecases.chat_services import ChatServices
from app.usecases.meter import Meter
from app.usecases.models import Models
from app.usecases.search import SearchServices
from app.usecases.transcribe import AudioServices
from channels.answering.asking import ask
from channels.answering.bot_models import model_for, sees, takes_tools
from channels.answering.hearing import Ears
from channels.answering.lanes import Lanes
from channels.answering.replying import Asker, Replier, ReplyServices
from channels.answering.tools import Tools
from channels.answering.turns import Turns, TurnServices
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.conversations.upkeep import ChannelUpkeep
from channels.inbound.dead_letters import DeadLetters
from channels.inbound.intake import Gate, Intake
from channels.inbound.sorter import Sorter
from channels.media import MediaStore
from channels.media_links import MediaLinks
from channels.numbers.lines import Lines, open_lines
from channels.numbers.readiness import Setup
from channels.office import Office, make_office
from channels.outbound.enclosing import Files
from channels.outbound.reconciling import Reconciler
from channels.outbound.senders import Senders
from channels.outbound.template_charges import TemplateCharges

#: Where media lie, under `BLOB_DIR`: a name that no tenant has, so that images and media are swept apart.
MEDIA: Final = ".media"


@dataclass(frozen=True, slots=True)
class Core:
    """What the gateway already has."""

    db: Database
    sealer: Sealer
    meter: Meter
    models: Models
    chat: ChatServices
    audio: AudioServices
    search: SearchServices
    clock: Clock = now_us


@dataclass(frozen=True, slots=True)
class Bells:
    """Who is woken when there is something to do."""

    sorter: Bell
    lanes: Bell
    senders: Bell


@dataclass(frozen=True, slots=True)
class Switchboard:
    """The channels of this process: `start` them in a nursery; `ended` returns when nothing is sent any more."""

    intake: Intake
    dead_letters: DeadLetters
    office: Office
    sorter: Sorter
    lanes: Lanes
    senders: Senders
    reconciler: Reconciler
    charges: TemplateCharges
    upkeep: ChannelUpkeep
    media: MediaStore
    media_links: MediaLinks

    def start(self, nursery: trio.Nursery, shutdown: trio.Event, hurry: trio.Event) -> None:
        """Lanes and senders let what is under way come to its end after `shutdown`; the others need not."""
        nursery.start_soon(self.lanes.run, shutdown, hurry)
        nursery.start_soon(self.senders.run, shutdown, hurry)
        nursery.start_soon(self.sorter.run)
        nursery.start_soon(self.reconciler.run)
        nursery.start_soon(self.charges.run)
        nursery.start_soon(self.upkeep.run)
        nursery.start_soon(self.media.run_sweeper)

    async def ended(self) -> None:
        await self.lanes.ended.wait()
        await self.senders.ended.wait()


def open_ways(settings: Settings) -> AbstractAsyncContextManager[Lines]:
    """Connections to WhatsApp's providers, for the length of the block."""
    return open_lines(
        Sealer(settings.secret_key),
        graph_url=settings.meta_graph_url,
        twilio_url=settings.twilio_api_url,
        twilio_messaging_url=settings.twilio_messaging_url,
        public_url=settings.public_url,
        max_parallel=settings.max_parallel,
        connect_s=settings.connect_s,
    )


def connect(settings: Settings, core: Core, lines: Lines) -> Switchboard:
    """The channels of a gateway with these settings."""
    db, clock, models = core.db, core.clock, core.models
    bells = Bells(Bell(), Bell(), Bell())
    media = MediaStore(db, Blobs(Path(settings.blob_dir) / MEDIA), keep_days=settings.media_days, clock=clock)
    links = MediaLinks(media, media_links(settings.secret_key), settings.public_url, clock=clock)
    turns = make_turns(settings, core, lines, media, bells, partial(ask, core.chat))
    sorting = Sorter(
        *(db, lambda: models.catalog.plans),
        bell=bells.sorter,
        lanes_bell=bells.lanes,
        senders_bell=bells.senders,
        clock=clock,
    )
    office = make_office(
        *(db, core.sealer, core.chat, lines, media),
        senders_bell=bells.senders,
        setup=Setup(shared_webhook=bool(settings.meta_app_secrets), public_url=bool(settings.public_url)),
    )
    return Switchboard(
        intake=Intake(db, core.sealer, _gate(settings), bell=bells.sorter, clock=clock),
        dead_letters=DeadLetters(db, bell=bells.sorter, clock=clock),
        office=office,
        sorter=sorting,
        lanes=Lanes(db, turns, bell=bells.lanes, clock=clock),
        senders=Senders(
            *(db, lines),
            bell=bells.senders,
            clock=clock,
            files=Files(media, links.url),
            metrics=core.chat.observer.metrics.channels,
        ),
        reconciler=Reconciler(db, lines, clock=clock),
        charges=TemplateCharges(db, core.meter, clock=clock),
        upkeep=ChannelUpkeep(db, inbox_days=settings.inbox_days, clock=clock),
        media=media,
        media_links=links,
    )


def make_turns(settings: Settings, core: Core, lines: Lines, media: MediaStore, bells: Bells, asker: Asker) -> Turns:
    """What answers conversations; `asker` asks their models."""
    db, clock, models = core.db, core.clock, core.models
    replies = ReplyServices(
        db=db,
        ask=asker,
        ears=Ears(db, media, core.audio, clock=clock),
        tools=Tools(Receivers(private=settings.webhook_allow_private), core.search),
        model_for=partial(model_for, models),
        takes_tools=partial(takes_tools, models),
        secret_of=partial(tools_secret, core.sealer),
        clock=clock,
        voiced=frozenset({"meta", "twilio"} if settings.public_url else {"meta"}),
    )
    services = TurnServices(
        db=db,
        lines=lines,
        replier=Replier(replies),
        voice=Voice(db, media, core.audio, senders=bells.senders, clock=clock),
        sees=partial(sees, models),
        senders=bells.senders,
        clock=clock,
        metrics=core.chat.observer.metrics.channels,
    )
    return Turns(services)


def _gate(settings: Settings) -> Gate:
    secrets = [secret.strip() for secret in settings.meta_app_secrets.split(",")]
    return Gate(
        app_secrets=tuple(secret for secret in secrets if secret),
        verify_token=settings.meta_verify_token,
        public_url=settings.public_url.rstrip("/"),
    )
