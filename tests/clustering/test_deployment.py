"""The files of a deployment name what exists: settings, metrics, folders, and times that fit together."""

from __future__ import annotations

import re
from pathlib import Path

from app.config import FIELDS, Settings
from app.observability.names import FAMILIES, PROCESS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {name for name, *_ in FIELDS}
COMPOSE = (ROOT / "compose.yaml").read_text()
GUIDE = (ROOT / "docs" / "deployment.md").read_text()
#: Of the compose file itself, of PostgreSQL's image and of Caddy.
OTHERS = {"POSTGRES_PASSWORD", "GATEWAY_PASSWORD", "SITE_ADDRESS"}


def variables(text: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, text, re.MULTILINE))


def test_the_compose_file_sets_only_what_the_gateway_reads() -> None:
    assert variables(COMPOSE, r"^ +([A-Z_]+):") - OTHERS <= SETTINGS


def test_the_example_holds_every_variable_that_the_compose_file_takes_and_no_other() -> None:
    example = variables((ROOT / "deploy" / "example.env").read_text(), r"^([A-Z_]+)=")
    assert example == variables(COMPOSE, r"\$\{([A-Z_]+)")


def test_the_compose_file_waits_longer_than_a_drain_takes() -> None:
    grace_s = float(re.findall(r'DRAIN_GRACE_S: "(\d+)"', COMPOSE)[0])
    waits = variables(COMPOSE, r"stop_grace_period: (\d+)s")
    assert min(map(float, waits)) > grace_s + Settings().drain_s + 10


def test_the_unit_waits_longer_than_a_drain_takes() -> None:
    unit = (ROOT / "deploy" / "callmissed.service").read_text()
    assert float(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > Settings().drain_s + 10


def test_the_proxies_wait_longer_than_a_call_may_take() -> None:
    for name in ("nginx.conf", "haproxy.cfg"):
        longest = max(map(int, variables((ROOT / "deploy" / name).read_text(), r"\b(\d+)s;?\b")))
        assert longest > Settings().total_s, name


def test_the_image_holds_every_package_that_the_gateway_imports() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = variables(dockerfile, r"^COPY (\w+) \1$")
    assert copied == {"app", "catalog", "channels", "scripts"}
    let_through = variables((ROOT / ".dockerignore").read_text(), r"^!(\S+)")
    assert let_through == copied | {"deploy/healthcheck.py", "requirements*.lock"}


def test_the_guide_names_only_metrics_and_settings_that_exist() -> None:
    shown = {family.name for family in FAMILIES} | set(PROCESS)
    assert {name.removesuffix("_bucket") for name in variables(GUIDE, r"\b(callmissed_\w+|process_\w+)")} <= shown
    named = variables(GUIDE, r"`([A-Z][A-Z_]{3,})`")
    assert named - {"BYPASSRLS"} <= SETTINGS


def test_the_guide_points_at_files_that_exist() -> None:
    for name in variables(GUIDE, r"\b((?:deploy|scripts|docs)/[\w./-]+\w)"):
        assert (ROOT / name).exists(), name
