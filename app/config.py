"""Settings from the environment: complete, checked at start, frozen; secrets never show in a repr.

`FIELDS` is the one table of what can be set; the README's configuration table and `python -m app doctor` print it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from app.core.addresses import read_networks

Flavour = Literal["generic", "ollama", "vllm", "llamacpp"]
SearchProviderName = Literal["serper", "exa", "tavily", "brave", "searxng"]
MIN_SECRET: Final = 16
HIGHEST_PORT: Final = 65_535
SHORTEST_INBOX: Final = 8
ORIGIN: Final = re.compile(r"https?://[^/\s?#@]+")
DATABASE_URL: Final = re.compile(r"sqlite:///.+|postgres(ql)?://.+/.+")


class ConfigError(Exception):
    """Every setting that is wrong, one line each: its name and what to write instead."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("The configuration is wrong:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


class Secret(str):
    """A string that does not show itself when an object that holds it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


def setting(default: Any, doc: str, *, shown: bool = True) -> Any:
    return field(default=default, repr=shown, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field for each environment variable of the same name in capitals."""

    database_url: str = setting(
        "sqlite:///data/gateway.db",
        "where everything is kept: sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME for many machines",
        shown=False,  # it may hold a password
    )
    secret_key: Secret = setting(
        Secret(), "server's own secret, at least 16 characters: without it no key, session or sealed secret is good"
    )
    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(8000, "port to listen on, 0 for any free one")
    certfile: str = setting("", "TLS certificate chain (PEM); with keyfile HTTP/2 is negotiated by ALPN")
    keyfile: str = setting("", "TLS private key (PEM)")
    openrouter_api_key: Secret = setting(Secret(), "OpenRouter: every slash id, auto")
    openrouter_base_url: str = setting("https://openrouter.ai/api/v1", "OpenRouter's base URL")
    cloudflare_api_token: Secret = setting(Secret(), "Cloudflare Workers AI: kimi, gpt-oss, gemma, glm, ...")
    cloudflare_account_id: str = setting("", "the account that the token belongs to")
    cloudflare_base_url: str = setting("https://api.cloudflare.com/client/v4", "Cloudflare's API base URL")
    sarvam_api_key: Secret = setting(Secret(), "Sarvam AI: sarvam-30b, sarvam-105b")
    sarvam_base_url: str = setting("https://api.sarvam.ai", "Sarvam's base URL")
    fast_api_key: Secret = setting(Secret(), "the host of kimi-k2.5-fast (Clarifai); without it Cloudflare serves it")
    fast_base_url: str = setting("https://api.clarifai.com/v2/ext/openai/v1", "OpenAI base URL of that host")
    self_hosted_base_url: str = setting("", "an OpenAI base URL such as http://127.0.0.1:11434/v1; models: local/ID")
    self_hosted_api_key: Secret = setting(Secret(), "its key, if it wants one")
    self_hosted_flavour: Flavour = setting("generic", "generic, ollama, vllm or llamacpp")
    serper_api_key: Secret = setting(Secret(), "Serper: web search, Google's results")
    serper_base_url: str = setting("https://google.serper.dev", "Serper's base URL")
    exa_api_key: Secret = setting(Secret(), "Exa: web search with the text of the pages")
    exa_base_url: str = setting("https://api.exa.ai", "Exa's base URL")
    tavily_api_key: Secret = setting(Secret(), "Tavily: web search for agents")
    tavily_base_url: str = setting("https://api.tavily.com", "Tavily's base URL")
    brave_api_key: Secret = setting(Secret(), "Brave: web search with an index of its own")
    brave_base_url: str = setting("https://api.search.brave.com", "Brave's base URL")
    searxng_base_url: str = setting("", "your own SearXNG instance, its JSON format enabled; needs no key")
    search_default_provider: SearchProviderName = setting("serper", "who answers a search that names no provider")
    search_deadline_s: float = setting(5.0, "a search provider that has not answered by then is given up for the next")
    dashboard_origin: str = setting("", "origin that may send cookies, such as https://app.example.com")
    registration: Literal["open", "closed"] = setting("open", "closed: new organisations come from seeds only")
    trusted_proxies: str = setting(
        "", "addresses or networks of your proxies, separated by commas: their X-Forwarded-For says who asks"
    )
    max_parallel: int = setting(512, "calls in flight to one provider's host")
    body_cap_bytes: int = setting(20 * 1024 * 1024, "largest request body")
    first_byte_grace_s: float = setting(0.08, "a stream begins after this long even if no provider has answered")
    heartbeat_s: float = setting(10.0, "silence after which a stream shows a sign of life")
    connect_s: float = setting(5.0, "deadline for connecting to a provider")
    first_byte_s: float = setting(0.0, "deadline for a provider's first chunk; 0 takes the dialect's own (30 or 120)")
    gap_s: float = setting(60.0, "deadline between two chunks of a provider")
    total_s: float = setting(600.0, "deadline for a whole provider call, not counting waits for a slow client")
    write_deadline_s: float = setting(30.0, "a client that reads nothing for this long is cut off")
    drain_grace_s: float = setting(
        0.0, "time after SIGTERM in which /readyz is 503 and all is still served, so that balancers notice"
    )
    drain_s: float = setting(30.0, "time for running requests to end after that")
    hold_s: float = setting(120.0, "life of a hold unless it is prolonged: a dead process's holds are freed after it")
    sweep_s: float = setting(5.0, "pause between two sweeps")
    settle_s: float = setting(20.0, "an answer waits this long for a database that is away; then it fails and is free")
    database_deadline_s: float = setting(5.0, "a write that takes longer is answered 503")
    sqlite_synchronous: Literal["FULL", "NORMAL"] = setting("FULL", "FULL survives a power cut, NORMAL a crash")
    access_log: bool = setting(True, "one JSON line per request")
    access_log_file: str = setting("", "file that these lines are appended to; empty is standard output")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "what the log shows")
    public_url: str = setting(
        "", "address that links in answers begin with, such as https://api.example.com; empty takes each request's own"
    )
    blob_dir: str = setting("data/blobs", "folder for images that were made; workers and machines share it")
    image_history_days: int = setting(30, "how long images are kept for their history; 0 keeps none")
    webhook_allow_private: bool = setting(
        False, "webhooks may use http and hosts that are not public: for development only"
    )
    meta_graph_url: str = setting("https://graph.facebook.com/v25.0", "Meta's Graph API, with its version: WhatsApp")
    meta_app_secrets: Secret = setting(
        Secret(), "secrets of your own Meta apps, separated by commas: they open the webhook URL that all numbers share"
    )
    meta_verify_token: Secret = setting(Secret(), "what Meta hands back when that URL is subscribed")
    twilio_api_url: str = setting("https://api.twilio.com", "Twilio's base URL")
    twilio_messaging_url: str = setting("https://messaging.twilio.com", "Twilio's base URL for typing and senders")
    inbox_days: int = setting(30, "how long it is remembered which events of channels have come; at least 8")
    media_days: int = setting(30, "how long images, voice notes and files of conversations are kept")
    metrics_port: int = setting(0, "port for /metrics, /readyz, /healthz without a token; a worker adds its number")
    metrics_host: str = setting("127.0.0.1", "address of that port")
    metrics_token: Secret = setting(Secret(), "opens /metrics on the main port to this Bearer token too")
    otel_exporter_otlp_endpoint: str = setting("", "where traces and GenAI metrics go; needs the extra `otel`")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Raises ConfigError with every fault. An empty variable counts as unset."""
        environment = os.environ if environment is None else environment
        faults: list[str] = []
        values: dict[str, Any] = {}
        for each in fields(cls):
            text = environment.get(each.name.upper(), "").strip()
            if text:
                try:
                    values[each.name] = _read(text, type(each.default), str(each.type))
                except ValueError as error:
                    faults.append(f"{each.name.upper()}: {error}")
        if faults:
            raise ConfigError(faults)
        settings = cls(**values)
        faults = settings.faults()
        if faults:
            raise ConfigError(faults)
        return settings

    def environment(self) -> dict[str, str]:
        """The variables from which `from_environment` makes these settings again; defaults are left out."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {each.name.upper(): str(given[each.name]) for each in fields(self) if given[each.name] != each.default}

    def faults(self) -> list[str]:
        """What is wrong with the settings taken together."""
        faults = []
        if not DATABASE_URL.match(self.database_url):
            faults.append("DATABASE_URL: write sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME")
        if self.secret_key and len(self.secret_key) < MIN_SECRET:
            faults.append(f"SECRET_KEY: use at least {MIN_SECRET} characters, such as from `openssl rand -hex 32`")
        if bool(self.certfile) != bool(self.keyfile):
            faults.append("CERTFILE and KEYFILE go together: set both or none")
        if bool(self.cloudflare_api_token) != bool(self.cloudflare_account_id):
            faults.append("CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID go together: set both or none")
        faults += self._address_faults()
        if self.port > HIGHEST_PORT:
            faults.append(f"PORT: {self.port} is above {HIGHEST_PORT}")
        if self.metrics_port > HIGHEST_PORT:
            faults.append(f"METRICS_PORT: {self.metrics_port} is above {HIGHEST_PORT}")
        if self.metrics_token and len(self.metrics_token) < MIN_SECRET:
            faults.append(f"METRICS_TOKEN: use at least {MIN_SECRET} characters, such as from `openssl rand -hex 32`")
        if 0 < self.inbox_days < SHORTEST_INBOX:
            faults.append(f"INBOX_DAYS: at least {SHORTEST_INBOX}, since providers tell the same again for a week")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                least = "at least 0" if each.name in MAY_BE_ZERO else "more than 0"
                if not math.isfinite(value) or value < 0 or (value == 0 and each.name not in MAY_BE_ZERO):
                    faults.append(f"{each.name.upper()}: {value} is not {least}")
        return faults

    def _address_faults(self) -> list[str]:
        """What is wrong with URLs, origins and networks."""
        providers = ("openrouter", "cloudflare", "sarvam", "fast", "self_hosted", *get_args(SearchProviderName))
        channels = ("meta_graph_url", "twilio_api_url", "twilio_messaging_url")
        names = (*(f"{provider}_base_url" for provider in providers), *channels, "public_url")
        urls = {name: urlsplit(getattr(self, name)) for name in names if getattr(self, name)}
        faults = [
            f"{name.upper()}: {getattr(self, name)!r} is not an http or https URL"
            for name, url in urls.items()
            if url.scheme not in ("http", "https") or not url.hostname
        ]
        if self.dashboard_origin and not ORIGIN.fullmatch(self.dashboard_origin):
            faults.append("DASHBOARD_ORIGIN: write scheme, host and port only, such as https://app.example.com")
        return faults + _proxy_faults(self.trusted_proxies)


#: Numbers for which 0 means something: any free port, at once, the dialect's own, none.
MAY_BE_ZERO: Final = (
    *("port", "metrics_port", "first_byte_grace_s", "first_byte_s", "drain_grace_s", "drain_s"),
    "image_history_days",
)
#: Words of the annotations that are names.
NAMED_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "Flavour": get_args(Flavour),
    "SearchProviderName": get_args(SearchProviderName),
}
FIELDS: Final = tuple((each.name.upper(), each.default, each.metadata["doc"]) for each in fields(Settings))


def _proxy_faults(networks: str) -> list[str]:
    try:
        read_networks(networks)
    except ValueError as error:
        return [f"TRUSTED_PROXIES: {error}; write addresses or networks such as 10.0.0.0/8, ::1"]
    return []


def _read(text: str, kind: type, annotation: str) -> Any:
    if kind is bool:
        if text.lower() not in ("0", "1", "true", "false", "yes", "no", "on", "off"):
            raise ValueError(f"{text!r} is not a yes or no; write 1 or 0")
        return text.lower() in ("1", "true", "yes", "on")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
    words = _words(annotation)
    if words and text not in words:
        raise ValueError(f"{text!r} is not one of {', '.join(words)}")
    return kind(text)


def _words(annotation: str) -> tuple[str, ...]:
    """The words of a `Literal[...]` annotation, or none."""
    if annotation in NAMED_WORDS:
        return NAMED_WORDS[annotation]
    if not annotation.startswith("Literal["):
        return ()
    return tuple(word.strip(" \"'") for word in annotation.removeprefix("Literal[").removesuffix("]").split(","))
