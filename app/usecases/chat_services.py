"""What chat works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.observability.observer import Observer
from app.providers.breaker import Breakers
from app.providers.chat import ChatProvider
from app.usecases.meter import Meter
from app.usecases.models import Models


@dataclass(frozen=True, slots=True)
class ChatServices:
    """What every chat call is given."""

    meter: Meter
    models: Models
    providers: Mapping[str, ChatProvider]
    breakers: Breakers
    secret: str
    observer: Observer
