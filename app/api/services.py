"""What the blueprints are given."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.exchange import Exchange
from app.api.health import HealthServices
from app.api.stream import StreamRules
from app.storage.database import Database
from app.usecases.access import Access
from app.usecases.accounts import Accounts
from app.usecases.bots import Bots
from app.usecases.chat_services import ChatServices
from app.usecases.conversations import Conversations
from app.usecases.credits import Credits
from app.usecases.delivery_log import DeliveryLog
from app.usecases.idempotency import Idempotency
from app.usecases.images import ImageServices
from app.usecases.keys import Keys
from app.usecases.profile import Profiles
from app.usecases.responses import Responses
from app.usecases.routed import RoutedServices
from app.usecases.search import SearchServices
from app.usecases.sessions import Sessions
from app.usecases.team import Team
from app.usecases.transcribe import AudioServices
from app.usecases.usage import Usage
from app.usecases.webhooks import Webhooks
from channels.inbound.dead_letters import DeadLetters
from channels.inbound.intake import Intake
from channels.media_links import MediaLinks
from channels.office import Office


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Built by `app.main`, shared by every request."""

    db: Database
    access: Access
    chat: ChatServices
    stream_rules: StreamRules
    health: HealthServices
    #: For every call of another kind than chat.
    routed: RoutedServices
    responses: Responses
    search: SearchServices
    audio: AudioServices
    images: ImageServices
    sessions: Sessions
    accounts: Accounts
    profiles: Profiles
    team: Team
    bots: Bots
    conversations: Conversations
    keys: Keys
    credits: Credits
    idempotency: Idempotency
    webhooks: Webhooks
    delivery_log: DeliveryLog
    usage: Usage
    office: Office
    media_links: MediaLinks
    intake: Intake
    dead_letters: DeadLetters
    #: What links in answers begin with; "" takes each request's own.
    public_url: str = ""


def address_of(services: ApiServices, exchange: Exchange) -> str:
    """What links to this gateway begin with."""
    return services.public_url or f"{exchange.scope['scheme']}://{exchange.host}"
