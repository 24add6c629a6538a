"""How each system is started: the simulator as the upstream of all, the empty server, our gateway, LiteLLM."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from scripts.bench import litellm
from scripts.bench.figures import System
from scripts.bench.processes import BenchError, Recipe, environment
from scripts.bench.questions import HOST, Door

ROOT: Final = Path(__file__).resolve().parents[2]
#: The catalog's model whose provider is a plain OpenAI-compatible host, as LiteLLM's upstream is here.
MODEL: Final = "kimi-k2.5-fast"
#: Far above what one core can serve; the plan's own limit would be what is measured otherwise.
RPM: Final = 1_000_000
CREDITS: Final = "100000000"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def upstream(port: int) -> Recipe:
    return Recipe(
        name="upstream",
        argv=[sys.executable, "-m", "scripts.simulator", "--port", str(port)],
        door=Door(port, "/openai/v1/chat/completions", "gpt-4o-mini", "simulated"),
        cwd=ROOT,
    )


def build(name: System, folder: Path, source: Door) -> Recipe:
    """The recipe of a system that answers from `source`; its files are in `folder`. Raises BenchError."""
    port = free_port()
    match name:
        case "echo":
            argv = [sys.executable, "-m", "scripts.bench.echo", "--port", str(port)]
            return Recipe(name, argv, Door(port, "/v1/chat/completions", "echo", "none"), ROOT)
        case "gateway":
            key, settings = new_key(), gateway_settings(f"sqlite:///{folder / 'gateway.db'}", source)
            seed(folder, [key], settings)
            return gateway(settings, key)
        case "litellm":
            return litellm.recipe(ROOT, folder, port, source)
        case "upstream":
            return upstream(port)


def new_key() -> str:
    return f"cm_{secrets.token_hex(20)}"


def gateway_settings(database_url: str, source: Door) -> dict[str, str]:
    """Everything on: keys, limits, a ledger that survives a power cut, and the access log into a file."""
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_hex(16),
        "SQLITE_SYNCHRONOUS": "FULL",
        "ACCESS_LOG": "1",
        "FAST_API_KEY": source.key,
        "FAST_BASE_URL": source.url.removesuffix("/chat/completions"),
        "DRAIN_S": "2",
    }


def gateway(settings: Mapping[str, str], key: str, *, workers: int = 1) -> Recipe:
    """One gateway on a free port, with its database seeded already."""
    port = free_port()
    argv = [sys.executable, "-m", "app", "serve", "--host", HOST, "--port", str(port), "--workers", str(workers)]
    return Recipe("gateway", argv, Door(port, "/v1/chat/completions", MODEL, key), ROOT, settings)


def tenants_for(keys: Sequence[str]) -> dict[str, object]:
    """A seed file's content: a tenant for each key, with a plan and credits that stop none of the calls."""
    tenants = [
        {
            "name": f"Bench {number}",
            "plan": "enterprise",
            "keys": [{"name": "bench", "key": key, "rpm": RPM, "scopes": ["*"]}],
            "grants": [{"ref": "bench", "amount": CREDITS}],
        }
        for number, key in enumerate(keys, 1)
    ]
    return {"tenants": tenants}


def seed(folder: Path, keys: Sequence[str], settings: Mapping[str, str]) -> None:
    """Make the database ready for calls with these keys. Raises BenchError."""
    tenants = folder / "tenants.json"
    tenants.write_bytes(msgspec.json.encode(tenants_for(keys)))
    argv = [sys.executable, "-m", "app", "seed", "--tenants", str(tenants)]
    done = subprocess.run(argv, cwd=ROOT, env=environment(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the gateway's database could not be seeded:\n{done.stderr}")
