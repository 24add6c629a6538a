"""Whether a bot can answer its customers: everything that would keep it silent, looked at before they find out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from app.core.bot_config import read_config
from app.core.bots import WHATSAPP
from app.core.deploying import DeployCheck, DeployReport
from app.core.errors import Problem
from app.core.numbers import Secrets
from app.core.sealing import Sealer
from app.storage import bots, conversation_ages, fallback_template, ledger, numbers
from app.storage.bots import StoredBot
from app.storage.database import Database, Transaction
from app.storage.numbers import StoredNumber
from app.usecases.models import Models, refuse
from catalog.names import passthrough_id
from catalog.routing import Refusal, Terms, select
from channels.numbers.number_views import open_secrets

READY = "Nothing to do."


@dataclass(frozen=True, slots=True)
class Setup:
    """What the operator has set. `shared_webhook`: numbers without an app secret of their own are heard, too;
    `public_url`: the gateway knows its own address, without which nothing of Twilio's is heard.
    """

    shared_webhook: bool
    public_url: bool


class Readiness:
    """Bots of any tenant."""

    def __init__(self, db: Database, sealer: Sealer, models: Models, setup: Setup) -> None:
        self._db = db
        self._sealer = sealer
        self._models = models
        self._setup = setup

    async def check(self, tenant_id: str, bot_id: str) -> DeployReport:
        """Raises Problem 404. Costs nothing, and asks no provider."""

        def read(db: Transaction) -> list[DeployCheck]:
            bot = bots.find_bot(db, tenant_id, bot_id)
            if bot is None:
                raise Problem("not_found", "There is no bot with this id.")
            linked = numbers.numbers_of_bot(db, tenant_id, bot_id)
            whole, held = ledger.balance(db, tenant_id)
            return [
                _check("active", bot.is_active, "The bot is switched off: toggle it."),
                _check("prompt", bool(bot.system_prompt.strip()), "The bot has no system_prompt: write one."),
                _check("number", *_connected(bot, linked)),
                *self._heard(tenant_id, linked),
                *_templates(db, tenant_id, bot, linked),
                _check("model", *self._model(bot, conversation_ages.plan_of(db, tenant_id))),
                _check("credits", whole > held, "No credits are left: top up."),
            ]

        checks = await self._db.read(tenant_id, read)
        return DeployReport(all(check.ok for check in checks), checks)

    def _heard(self, tenant_id: str, linked: Sequence[StoredNumber]) -> Iterator[DeployCheck]:
        """What comes in on a number is taken only when its signature can be checked."""
        for number in linked:
            secrets = open_secrets(self._sealer, tenant_id, number)
            missing = self._deaf_at_meta(secrets) if number.provider == "meta" else self._deaf_at_twilio(secrets)
            yield _check("webhook", not missing, f"The number {_name(number)} {missing}")

    def _deaf_at_meta(self, secrets: Secrets) -> str:
        return "" if secrets.app_secret or self._setup.shared_webhook else "has no app_secret: set it."

    def _deaf_at_twilio(self, secrets: Secrets) -> str:
        """Twilio signs the address that it posts to."""
        if not self._setup.public_url:
            return "hears nothing while the gateway has no PUBLIC_URL: the operator has to set it."
        return "" if secrets.auth_token else "has no auth_token: set it."

    def _model(self, bot: StoredBot, plan: str) -> tuple[bool, str]:
        name = read_config(msgspec.json.decode(bot.config)).model or None
        catalog = self._models.catalog
        found = select(catalog, name, Terms(catalog.plans[plan], None, needs_vision=False))
        if not isinstance(found, Refusal) or self._models.passthrough(passthrough_id(name or "")) is not None:
            return True, ""
        return False, refuse(found).message


def _templates(
    db: Transaction, tenant_id: str, bot: StoredBot, linked: Sequence[StoredNumber]
) -> Iterator[DeployCheck]:
    """Whether what is sent after the 24 hours, if anything is, may be sent from each number."""
    template = read_config(msgspec.json.decode(bot.config)).fallback_template
    if template is None:
        return
    for number in linked:
        error = fallback_template.why_off(db, tenant_id, number.id, template)
        message = (
            f"The template {template.name} is not sent from {_name(number)} any more: {error} See to it at WhatsApp, "
            "then set the bot's config again, or name another one in config.fallback_template."
        )
        yield _check("template", not error, message)


def _connected(bot: StoredBot, linked: Sequence[StoredNumber]) -> tuple[bool, str]:
    if bot.type not in WHATSAPP:
        return False, "Bots for calls are not answered for yet."
    if not linked:
        return False, "No number is linked to the bot: connect one, or set its bot_id."
    if any(number.state == "connected" and number.autoreply for number in linked):
        return True, ""
    silent = next((number for number in linked if number.state == "connected"), None)
    if silent is not None:
        return False, f"The number {_name(silent)} has autoreply off: switch it on."
    first = linked[0]
    if first.error:
        return False, f"The number {_name(first)} is not connected: {first.error}"
    return False, f"The number {_name(first)} has not been checked: POST .../numbers/{first.id}/verify."


def _check(name: str, ok: bool, message: str) -> DeployCheck:
    return DeployCheck(name, ok, READY if ok else message)  # type: ignore[arg-type]  # one of its names


def _name(number: StoredNumber) -> str:
    return number.phone or number.account
