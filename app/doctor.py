"""`python -m app doctor`: what is configured, what answers, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from app.config import Settings
from app.core.errors import UpstreamError, first_error
from app.core.identity import now_us
from app.main import open_storage
from app.providers.deadlines import Deadlines
from app.providers.registry import open_chat_providers, search_backends
from app.providers.upstream import Upstream
from app.storage import channel_sums, ledger
from app.storage.blobs import Blobs
from app.storage.database import EVERY_TENANT, Database
from app.storage.engines import shown
from app.storage.migrations import NewerDatabase
from app.storage.postgres_role import unbound_role
from app.switchboard import MEDIA
from app.usecases.models import load
from catalog.documents import CatalogError

KEYS: Final = {
    "openrouter": "OPENROUTER_API_KEY",
    "cloudflare": "CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID",
    "sarvam": "SARVAM_API_KEY",
    "fast": "FAST_API_KEY",
    "local": "SELF_HOSTED_BASE_URL",
}
PROBE_S: Final = 10.0
#: What comes in is sorted within a second; so late somebody has to look.
LATE_US: Final = 60_000_000
NUMBERS_NAMED: Final = 5
UNBOUND: Final = (
    "It is a superuser or may bypass it. Use a role of its own: CREATE ROLE gateway LOGIN PASSWORD '...', "
    "and ALTER ... OWNER TO gateway for the database and its tables."
)


@dataclass(frozen=True, slots=True)
class Finding:
    good: bool
    what: str
    advice: str = ""


async def run(settings: Settings) -> int:
    """Print findings; 0 when nothing is wrong that stops the gateway, else 1."""
    findings = [_secret(settings), *await _database(settings), *await _blobs(settings)]
    findings += [*await _providers(settings), _search(settings)]
    for finding in findings:
        print(f"{'ok  ' if finding.good else 'FIX '} {finding.what}")  # noqa: T201 - a command speaks to its user
        if finding.advice:
            print(f"     {finding.advice}")  # noqa: T201
    return 0 if all(finding.good for finding in findings) else 1


def _secret(settings: Settings) -> Finding:
    if settings.secret_key:
        return Finding(True, "SECRET_KEY is set")
    return Finding(False, "SECRET_KEY is not set", "Make one with `openssl rand -hex 32` and keep it.")


async def _database(settings: Settings) -> list[Finding]:
    where = shown(settings.database_url)
    findings = []
    try:
        async with open_storage(settings) as db:
            broken = await db.read(EVERY_TENANT, ledger.broken_tenants)
            if broken:
                findings = [Finding(False, f"the books of {len(broken)} tenants do not balance: {', '.join(broken)}")]
            if role := await db.read(EVERY_TENANT, unbound_role):
                findings.append(Finding(False, f"{where}: row-level security does not bind {role!r}", UNBOUND))
            findings.append(Finding(True, f"{where}: {len((await db.read(EVERY_TENANT, load)).models)} models"))
            findings += await _channels(settings, db)
    except* CatalogError as group:
        first = str(first_error(group)).partition("\n")[0]
        findings.append(Finding(False, f"{where}: no valid catalog ({first})", "Run `python -m app seed`."))
    except* NewerDatabase as group:
        findings.append(Finding(False, f"{where}: {first_error(group)}"))
    except* Exception as group:  # noqa: BLE001 - whatever it is, say it
        advice = "Check the path, its permissions and the free space."
        findings.append(Finding(False, f"{where}: {first_error(group)}", advice))
    return findings


async def _blobs(settings: Settings) -> list[Finding]:
    """Generations and conversations go on without it, but nobody would see their images and files again."""
    for folder in (Path(settings.blob_dir), Path(settings.blob_dir) / MEDIA):
        try:
            await Blobs(folder).check()
        except OSError as error:
            advice = (
                "Make it a folder that the gateway may write to; workers and machines share it. No file is kept now."
            )
            return [Finding(False, f"BLOB_DIR {folder}: not writable ({error.strerror or error})", advice)]
    return [Finding(True, f"BLOB_DIR {settings.blob_dir}: writable")]


async def _channels(settings: Settings, db: Database) -> list[Finding]:
    """Whether WhatsApp numbers can be heard and answered, as far as the operator has to do with it."""
    connected = {each.provider: each for each in await db.read(EVERY_TENANT, channel_sums.connected)}
    refused = await db.read(EVERY_TENANT, lambda read: channel_sums.refused(read, NUMBERS_NAMED + 1))
    at = now_us()
    sums = await db.read(EVERY_TENANT, lambda read: channel_sums.sums(read, at))
    findings = list(_shared_webhook(settings, any(each.verify_tokens for each in connected.values())))
    if "twilio" in connected and not settings.public_url:
        numbers = connected["twilio"].numbers
        advice = "Set it to the address that Twilio posts to: its signature is made with it. Nothing is taken now."
        findings.append(Finding(False, f"PUBLIC_URL is not set; numbers of Twilio: {numbers}", advice))
    if "meta" in connected or settings.meta_app_secrets:
        findings.append(await _reached(settings, "META_GRAPH_URL", settings.meta_graph_url))
    if "twilio" in connected:
        findings.append(await _reached(settings, "TWILIO_API_URL", settings.twilio_api_url))
    late_s = (at - (sums.inbox.due_us or at)) // 1_000_000
    if late_s * 1_000_000 > LATE_US:
        advice = "Is a gateway running? Its log says `sorter.` why it cannot sort."
        findings.append(Finding(False, f"inbox: {sums.inbox.pending} wait, the oldest for {late_s} s", advice))
    for number in refused[:NUMBERS_NAMED]:
        what = f"number {number.account} of {number.tenant_id}: refused by its provider ({number.error[:100]})"
        advice = "Its owner mends it there or enters new secrets, then POST /api/v1/whatsapp/numbers/{id}/verify."
        findings.append(Finding(False, what, advice))
    if len(refused) > NUMBERS_NAMED:
        findings.append(Finding(False, f"{sums.numbers_in_error} numbers are refused by their providers in all"))
    told = ", ".join(f"{each.numbers} of {name}" for name, each in connected.items())
    findings.append(Finding(True, f"whatsapp: numbers: {told or 'none'}"))
    return findings


def _shared_webhook(settings: Settings, own_tokens: bool) -> Iterator[Finding]:
    """The URL that numbers of the installation's own Meta apps share. `own_tokens`: numbers have verify tokens."""
    if settings.meta_app_secrets and not (settings.meta_verify_token or own_tokens):
        advice = "Choose a word, set it here and enter it at Meta: without it the shared URL cannot be subscribed."
        yield Finding(False, "META_APP_SECRETS is set, META_VERIFY_TOKEN is not", advice)
    if settings.meta_verify_token and not settings.meta_app_secrets:
        advice = "Set the app's secret: the shared URL can be subscribed, but takes nothing that it cannot check."
        yield Finding(False, "META_VERIFY_TOKEN is set, META_APP_SECRETS is not", advice)


async def _reached(settings: Settings, name: str, url: str) -> Finding:
    """Any answer will do: nobody's token is asked with."""
    upstream = Upstream(url, max_parallel=1, deadlines=Deadlines(connect_s=settings.connect_s))
    try:
        with trio.fail_after(PROBE_S):
            async with upstream.request(b"GET", "/", (), b"", PROBE_S) as reply:
                return Finding(True, f"{name}: answered with status {reply.status}")
    except (UpstreamError, trio.TooSlowError) as error:
        detail = error.detail if isinstance(error, UpstreamError) else "no answer"
        return Finding(False, f"{name} {url}: not reached ({detail})", "Check the URL and the network.")
    finally:
        await upstream.aclose()


def _search(settings: Settings) -> Finding:
    """None of them can be asked for nothing, so what is configured is told and not tried."""
    names = [backend.name for backend, _ in search_backends(settings)]
    if names:
        return Finding(True, f"search: {', '.join(names)}")
    return Finding(True, "search: not configured", "Set SERPER_API_KEY, EXA_API_KEY, ... or SEARXNG_BASE_URL.")


async def _providers(settings: Settings) -> list[Finding]:
    findings = []
    async with open_chat_providers(settings) as providers:
        for name, key in KEYS.items():
            provider = providers.get(name)
            if provider is None:
                good = name in ("fast", "local")
                findings.append(Finding(good, f"{name}: not configured", f"Set {key} to use its models."))
                continue
            try:
                with trio.fail_after(PROBE_S):
                    status = await provider.probe()
            except (UpstreamError, trio.TooSlowError) as error:
                detail = error.detail if isinstance(error, UpstreamError) else "no answer"
                findings.append(Finding(False, f"{name}: not reached ({detail})", "Check base URL and network."))
                continue
            refused = status in (401, 403)
            advice = f"Its key is refused: check {key}." if refused else ""
            findings.append(Finding(not refused, f"{name}: answered with status {status}", advice))
    return findings
