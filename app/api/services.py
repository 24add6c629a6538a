"""What the blueprints are given."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.health import HealthServices
from app.api.stream import StreamRules
from app.storage.database import Database
from app.usecases.access import Access
from app.usecases.chat import ChatServices
from app.usecases.responses import Responses
from app.usecases.routed import RoutedServices
from app.usecases.search import SearchServices
from app.usecases.transcribe import AudioServices


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
