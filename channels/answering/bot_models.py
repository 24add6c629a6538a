"""Which model answers for a bot, and what it can: see images, call functions."""

from __future__ import annotations

from app.core.bot_config import BotConfig
from app.usecases.models import Models
from catalog.catalog import Catalog
from catalog.models import Model


def model_for(models: Models, config: BotConfig, with_image: bool) -> str:
    """The bot's model, or the one it has for images where its own cannot see."""
    catalog = models.catalog
    name = config.model or catalog.rates.default_model
    return config.vision_model if with_image and config.vision_model and not _sees(catalog, name) else name


def sees(models: Models, config: BotConfig) -> bool:
    """Whether some model of this bot sees images."""
    catalog = models.catalog
    return any(_sees(catalog, name) for name in (config.model or catalog.rates.default_model, config.vision_model))


def takes_tools(models: Models, name: str) -> bool:
    """Whether the model can call functions. Of one that is not in the catalog nobody knows, so it is tried."""
    found = _find(models.catalog, name)
    return found is None or found.supports_tools


def _sees(catalog: Catalog, name: str) -> bool:
    found = _find(catalog, name)
    return found is not None and found.supports_vision


def _find(catalog: Catalog, name: str) -> Model | None:
    found = catalog.resolve(name) if name else None
    return None if found is None else found.model
