"""LiteLLM's proxy, the other gateway: installed into an environment of its own, set up as its documents advise.

One worker on uvicorn with uvloop, a master key, no database, no callbacks, no retries, log level ERROR
(docs.litellm.ai/docs/proxy/prod and /docs/benchmarks).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from scripts.bench.processes import BenchError, Recipe
from scripts.bench.questions import HOST, Door

PACKAGE: Final = "litellm[proxy]"
KEY: Final = "sk-bench"
#: A model that LiteLLM knows a price for, so that it accounts as it would for a customer.
MODEL: Final = "openai/gpt-4o-mini"
SETTINGS: Final = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True",
}


def environment_folder(root: Path) -> Path:
    return root / ".venv-litellm"


def is_installed(root: Path) -> bool:
    return _stamp(root).exists()


def install(root: Path) -> None:
    """Make the environment, once; takes a minute or two and 750 MB. Raises BenchError."""
    if is_installed(root):
        return
    folder = environment_folder(root)
    print(f"Installing {PACKAGE} into {folder.name} (once).", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, PACKAGE], check=True)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{PACKAGE} could not be installed: pip says why above") from error
    _stamp(root).touch()


def version(root: Path) -> str:
    command = "from importlib.metadata import version; print(version('litellm'))"
    python = environment_folder(root) / "bin/python"
    return subprocess.run([python, "-c", command], check=True, capture_output=True, text=True).stdout.strip()


def recipe(root: Path, folder: Path, port: int, upstream: Door) -> Recipe:
    config = folder / "litellm.json"  # JSON is YAML
    config.write_bytes(msgspec.json.encode(config_for(upstream)))
    command = [str(environment_folder(root) / "bin/litellm"), "--config", str(config)]
    return Recipe(
        name="litellm",
        argv=[*command, "--host", HOST, "--port", str(port), "--num_workers", "1"],
        door=Door(port, "/v1/chat/completions", "bench", KEY),
        cwd=folder,
        settings=SETTINGS,
    )


def config_for(upstream: Door) -> dict[str, object]:
    base = upstream.url.removesuffix("/chat/completions")
    return {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {"model": MODEL, "api_base": base, "api_key": upstream.key},
            }
        ],
        "litellm_settings": {"callbacks": [], "num_retries": 0, "request_timeout": 600, "telemetry": False},
        "general_settings": {"master_key": KEY},
    }


def _stamp(root: Path) -> Path:
    return environment_folder(root) / "installed-litellm"
