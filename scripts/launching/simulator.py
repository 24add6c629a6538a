"""The simulator as a process of its own, so that its work does not slow the gateway's; it ends with the launcher."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from app.config import Secret, Settings
from scripts.launching.directory import LaunchError

ROOT: Final = Path(__file__).resolve().parents[2]
READY: Final = "simulator ready on "
START_S: Final = 30.0
STOP_S: Final = 5.0
KEY: Final = Secret("simulator")
GRAPH_PATH: Final = "/graph/v25.0"
#: With one of these set, a provider of WhatsApp is a real one.
OF_META: Final = ("meta_graph_url", "meta_app_secrets", "meta_verify_token")
OF_TWILIO: Final = ("twilio_api_url", "twilio_messaging_url")


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator; `url` has no slash at its end."""

    url: str
    process: subprocess.Popen[str]

    async def wait_ended(self) -> int:
        """The exit code, once it has ended."""
        return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)


@contextmanager
def open_simulator() -> Iterator[Simulator]:
    """A simulator on a free port for the length of the block. Raises LaunchError when it does not start.

    It has a process group of its own: Ctrl-C in a terminal must not end it while the gateway drains.
    """
    command = [sys.executable, "-m", "scripts.launching.companion", "scripts.simulator", "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, process_group=0
    ) as process:
        try:
            yield Simulator(_ready_url(process), process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def with_simulator(settings: Settings, url: str) -> Settings:
    """`settings` with every provider played by the simulator, Meta and Twilio unless they are configured."""
    return replace(
        with_whatsapp(settings, url),
        openrouter_api_key=KEY,
        openrouter_base_url=f"{url}/openrouter/api/v1",
        cloudflare_api_token=KEY,
        cloudflare_account_id="demo",
        cloudflare_base_url=f"{url}/cloudflare/client/v4",
        sarvam_api_key=KEY,
        sarvam_base_url=f"{url}/sarvam",
        fast_api_key=KEY,
        fast_base_url=f"{url}/openai/v1",
        serper_api_key=KEY,
        serper_base_url=f"{url}/serper",
        exa_api_key=KEY,
        exa_base_url=f"{url}/exa",
        tavily_api_key=KEY,
        tavily_base_url=f"{url}/tavily",
        brave_api_key=KEY,
        brave_base_url=f"{url}/brave",
        searxng_base_url=f"{url}/searxng",
    )


def with_whatsapp(settings: Settings, url: str) -> Settings:
    """`settings` with WhatsApp played by the simulator; what is configured of a provider is never overridden."""
    default = Settings()
    if all(getattr(settings, name) == getattr(default, name) for name in OF_META):
        settings = replace(settings, meta_graph_url=f"{url}{GRAPH_PATH}")
    if all(getattr(settings, name) == getattr(default, name) for name in OF_TWILIO):
        settings = replace(settings, twilio_api_url=f"{url}/twilio", twilio_messaging_url=f"{url}/twilio")
    return settings


def plays_whatsapp(settings: Settings, url: str) -> bool:
    """Whether numbers of Meta are played by the simulator there."""
    return settings.meta_graph_url == f"{url}{GRAPH_PATH}"


def plays_models(settings: Settings) -> bool:
    """Whether the simulator answers in the place of models."""
    return settings.fast_api_key == KEY


def has_provider_key(settings: Settings) -> bool:
    """Whether any provider but the self-hosted one can be called."""
    keys = (settings.openrouter_api_key, settings.cloudflare_api_token, settings.sarvam_api_key, settings.fast_api_key)
    return any(keys)


def _ready_url(process: subprocess.Popen[str]) -> str:
    output = process.stdout
    if output is not None and select.select([output], [], [], START_S)[0]:
        line = output.readline()
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
    raise LaunchError("The simulator did not start; what it said is above. --no-simulator starts without it.")
