"""`python -m app doctor`: what is configured, what answers, and what to do about the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from app.config import Settings
from app.core.errors import UpstreamError, first_error
from app.main import open_storage
from app.providers.registry import open_chat_providers, search_backends
from app.storage import ledger
from app.storage.blobs import Blobs
from app.storage.database import EVERY_TENANT
from app.storage.engines import shown
from app.storage.migrations import NewerDatabase
from app.storage.postgres_role import unbound_role
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
    findings = [_secret(settings), *await _database(settings), await _blobs(settings)]
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
    except* CatalogError as group:
        first = str(first_error(group)).partition("\n")[0]
        findings.append(Finding(False, f"{where}: no valid catalog ({first})", "Run `python -m app seed`."))
    except* NewerDatabase as group:
        findings.append(Finding(False, f"{where}: {first_error(group)}"))
    except* Exception as group:  # noqa: BLE001 - whatever it is, say it
        advice = "Check the path, its permissions and the free space."
        findings.append(Finding(False, f"{where}: {first_error(group)}", advice))
    return findings


async def _blobs(settings: Settings) -> Finding:
    """Generations go on without it, but nobody would see their images again."""
    try:
        await Blobs(Path(settings.blob_dir)).check()
    except OSError as error:
        advice = "Make it a folder that the gateway may write to; workers and machines share it. No image is kept now."
        return Finding(False, f"BLOB_DIR {settings.blob_dir}: not writable ({error.strerror or error})", advice)
    return Finding(True, f"BLOB_DIR {settings.blob_dir}: writable")


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
