"""What the launcher prints and writes when the gateway is ready: addresses, key, and something to paste."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.config import Settings
from app.core.money import UCR_PER_CREDIT
from catalog.catalog import Catalog
from scripts.launching.demo import Demo
from scripts.launching.simulator import ROOT, has_provider_key, plays_models

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to reach a server that listens everywhere
LOCAL_MODEL = "local/MODEL"


@dataclass(frozen=True, slots=True)
class Ready:
    """A gateway that serves. `root_url` has no slash at its end; `model` is one that can be called, `bots` are those
    that can be written to by `python -m app chat`.
    """

    root_url: str
    model: str
    demo: Demo
    settings: Settings
    data: Path
    simulator_url: str | None
    bots: Sequence[str] = ()

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"

    def run_json(self) -> dict[str, object]:
        """The contract of design.md section 9."""
        return {
            "base_url": self.base_url,
            "root_url": self.root_url,
            "api_key": self.demo.api_key,
            "tenant_id": self.demo.tenant_id,
            "admin_email": self.demo.admin_email,
            "admin_password": self.demo.admin_password,
            "dashboard_url": None,
            "simulator_url": self.simulator_url,
            "database_url": self.settings.database_url,
            "pid": os.getpid(),
        }

    def text(self) -> str:
        """For a terminal: a table, a curl and a Python snippet."""
        return "\n".join(["", *self._table(), "", "Try it:", "", *self._curl(), "", *self._python(), "", *self._chat()])

    def _table(self) -> list[str]:
        lines = [
            ("base URL", self.base_url),
            ("docs", f"{self.root_url}/docs"),
            ("key", self.demo.api_key),
            ("admin", self._admin()),
            ("credits", f"{self.demo.credits_ucr / UCR_PER_CREDIT:,.2f}"),
            ("answers", self._answers()),
            ("data", f"{self.data} (run.json repeats all this)"),
        ]
        if self.settings.access_log and self.settings.access_log_file:
            lines.append(("requests", f"{self.settings.access_log_file}; warnings appear here"))
        return ["The gateway is ready; Ctrl-C stops it.", "", *(f"  {name:<10}{value}" for name, value in lines)]

    def _admin(self) -> str:
        if self.demo.admin_password is None:
            return f"the first password of {self.demo.admin_email} works no more"
        return f"{self.demo.admin_email}, password {self.demo.admin_password}"

    def _answers(self) -> str:
        if self.simulator_url is not None and (plays_models(self.settings) or not has_provider_key(self.settings)):
            return f"made up by the simulator at {self.simulator_url}, since no provider's key is set"
        if self.model == LOCAL_MODEL:
            return (
                "from the self-hosted models alone"
                if self.settings.self_hosted_base_url
                else "none: no provider is set"
            )
        return "from the providers whose keys are set"

    def _curl(self) -> list[str]:
        trust = f" --cacert {shlex.quote(self.settings.certfile)}" if self.settings.certfile else ""
        body = f'{{"model": "{self.model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
        return [
            f"  curl -N{trust} {self.base_url}/chat/completions \\",
            f'    -H "Authorization: Bearer {self.demo.api_key}" -H "Content-Type: application/json" \\',
            f"    -d '{body}'",
        ]

    def _python(self) -> list[str]:
        return [
            "  from openai import OpenAI  # pip install openai",
            f'  client = OpenAI(base_url="{self.base_url}", api_key="{self.demo.api_key}")',
            '  messages = [{"role": "user", "content": "Hello!"}]',
            f'  answer = client.chat.completions.create(model="{self.model}", messages=messages)',
            "  print(answer.choices[0].message.content)",
        ]

    def _chat(self) -> list[str]:
        """In another terminal, wherever that is."""
        if not self.bots:
            return []
        python = Path(sys.executable)
        shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
        data = "" if self.data == ROOT / "data" else f" --data {shlex.quote(str(self.data))}"
        others = f" ({', '.join(self.bots[1:])} too)" if self.bots[1:] else ""
        return [
            f"Write to {self.bots[0]}, a WhatsApp bot{others}, in another terminal:",
            "",
            f"  cd {shlex.quote(str(ROOT))} && {shown} -m app chat{data} --bot {shlex.quote(self.bots[0])}",
            "",
        ]


def reachable(url: str) -> str:
    """The URL that a client on this machine uses for the one that the server listens on."""
    parts = urlsplit(url)
    host = EVERYWHERE.get(parts.hostname or "")
    return url if host is None else f"{parts.scheme}://{host}:{parts.port}"


def callable_model(catalog: Catalog, providers: Collection[str]) -> str:
    """A chat model that one of `providers` serves, the default one if possible."""
    for model in (catalog.default_model, *catalog.listed):
        if model.category == "llm" and any(route.provider in providers for route in model.routes):
            return model.id
    return LOCAL_MODEL
