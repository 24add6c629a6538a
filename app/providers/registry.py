"""Which providers are configured, and the clients that speak to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.config import Settings
from app.providers.chat import ChatProvider
from app.providers.cloudflare import Cloudflare
from app.providers.deadlines import Deadlines
from app.providers.dialect import Dialect
from app.providers.openai_compatible import OpenAICompatible
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam
from app.providers.search.backend import Backend
from app.providers.search.brave import Brave
from app.providers.search.exa import Exa
from app.providers.search.provider import SearchProvider
from app.providers.search.searxng import SearXNG
from app.providers.search.serper import Serper
from app.providers.search.tavily import Tavily
from app.providers.upstream import Upstream


def dialects(settings: Settings) -> list[tuple[Dialect, str]]:
    """The dialect and base URL of every provider that has what it needs."""
    found: list[tuple[Dialect, str]] = []
    if settings.openrouter_api_key:
        found.append((OpenRouter(settings.openrouter_api_key), settings.openrouter_base_url))
    if settings.cloudflare_api_token:
        account = f"{settings.cloudflare_base_url}/accounts/{settings.cloudflare_account_id}/ai"
        found.append((Cloudflare(settings.cloudflare_api_token), account))
    if settings.sarvam_api_key:
        found.append((Sarvam(settings.sarvam_api_key), settings.sarvam_base_url))
    if settings.fast_api_key:
        found.append((OpenAICompatible("fast", api_key=settings.fast_api_key), settings.fast_base_url))
    if settings.self_hosted_base_url:
        local = OpenAICompatible("local", settings.self_hosted_flavour, api_key=settings.self_hosted_api_key)
        found.append((local, settings.self_hosted_base_url))
    return found


@asynccontextmanager
async def open_chat_providers(settings: Settings) -> AsyncIterator[dict[str, ChatProvider]]:
    """Every configured chat provider by name, its connections open for the length of the block."""
    deadlines = Deadlines(connect_s=settings.connect_s, gap_s=settings.gap_s, total_s=settings.total_s)
    async with AsyncExitStack() as stack:
        providers = {}
        for dialect, base_url in dialects(settings):
            upstream = Upstream(base_url, max_parallel=settings.max_parallel, deadlines=deadlines)
            stack.push_async_callback(upstream.aclose)
            first_byte_s = settings.first_byte_s or dialect.first_byte_s
            providers[dialect.name] = ChatProvider(dialect, upstream, first_byte_s)
        yield providers


def search_backends(settings: Settings) -> list[tuple[Backend, str]]:
    """The dialect and base URL of every search provider that has what it needs."""
    found: list[tuple[Backend, str]] = []
    if settings.serper_api_key:
        found.append((Serper(settings.serper_api_key), settings.serper_base_url))
    if settings.exa_api_key:
        found.append((Exa(settings.exa_api_key), settings.exa_base_url))
    if settings.tavily_api_key:
        found.append((Tavily(settings.tavily_api_key), settings.tavily_base_url))
    if settings.brave_api_key:
        found.append((Brave(settings.brave_api_key), settings.brave_base_url))
    if settings.searxng_base_url:
        found.append((SearXNG(), settings.searxng_base_url))
    return found


@asynccontextmanager
async def open_search_providers(settings: Settings) -> AsyncIterator[dict[str, SearchProvider]]:
    """Every configured search provider by name, its connections open for the length of the block."""
    patience_s = settings.search_deadline_s
    deadlines = Deadlines(connect_s=min(settings.connect_s, patience_s), gap_s=patience_s, total_s=patience_s)
    async with AsyncExitStack() as stack:
        providers = {}
        for backend, base_url in search_backends(settings):
            upstream = Upstream(base_url, max_parallel=settings.max_parallel, deadlines=deadlines)
            stack.push_async_callback(upstream.aclose)
            providers[backend.name] = SearchProvider(backend, upstream, patience_s)
        yield providers
