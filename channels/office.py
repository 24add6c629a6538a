"""What the platform API does with channels, all of it that people use."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.sealing import Sealer
from app.storage.database import Database
from app.usecases.chat_services import ChatServices
from channels.bell import Bell
from channels.media import MediaStore
from channels.numbers.channel_settings import ChannelSettings
from channels.numbers.connections import Connections, OpenLines
from channels.numbers.readiness import Readiness, Setup
from channels.staff.desk import Desk
from channels.staff.drafting import Drafts


@dataclass(frozen=True, slots=True)
class Office:
    """Made by `make_office`, shared by every request."""

    connections: Connections
    settings: ChannelSettings
    desk: Desk
    drafts: Drafts
    readiness: Readiness
    media: MediaStore


def make_office(
    db: Database,
    sealer: Sealer,
    chat: ChatServices,
    lines: OpenLines,
    media: MediaStore,
    *,
    senders_bell: Bell,
    setup: Setup,
) -> Office:
    """`setup` is what bots need of the operator."""
    connections = Connections(db, sealer, lines, senders_bell=senders_bell)
    return Office(
        connections=connections,
        settings=ChannelSettings(connections),
        desk=Desk(db, plans=lambda: chat.models.catalog.plans, senders_bell=senders_bell),
        drafts=Drafts(db, chat),
        readiness=Readiness(db, sealer, chat.models, setup),
        media=media,
    )
