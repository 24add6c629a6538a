"""The rules of the house that no linter knows: locks, sizes, first lines, declared imports."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
PACKAGES = ("app", "catalog", "channels")
LONGEST_MODULE = 300


def canonical(name: str) -> str:
    """The distribution's name as an index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in requirements}


def pins(lock: str) -> dict[str, str]:
    """Distribution to exact version."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    """Top-level names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module.partition(".")[0])
    return names


def undeclared(paths: list[Path], declared: set[str]) -> set[str]:
    """Imports that come from a distribution which pyproject.toml does not name."""
    own = {"app", "catalog", "channels", "scripts", "tests"}
    providers = packages_distributions()
    foreign = set().union(*map(imported_names, paths)) - own - sys.stdlib_module_names
    return {name for name in foreign if not declared & {canonical(each) for each in providers.get(name, [])}}


@pytest.mark.parametrize("lock", [RUNTIME_LOCK, DEV_LOCK])
def test_a_lock_names_no_address_and_no_folder_of_a_machine(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.findall(r".*(?:://|--index|--find-links|--trusted-host|\s/\w).*", text)


@pytest.mark.parametrize("lock", [RUNTIME_LOCK, DEV_LOCK])
def test_every_pin_of_a_lock_has_a_hash(lock: str) -> None:
    blocks = re.split(r"^(?=[\w.-]+==)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert [block.partition("=")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_every_dependency_is_locked() -> None:
    assert required(PROJECT["dependencies"]) <= pins(RUNTIME_LOCK).keys()
    assert required(PROJECT["optional-dependencies"]["dev"]) <= pins(DEV_LOCK).keys()


def test_the_development_lock_holds_the_runtime_lock_at_the_same_versions() -> None:
    assert pins(RUNTIME_LOCK).items() <= pins(DEV_LOCK).items()


def test_the_product_imports_only_declared_dependencies() -> None:
    extra = ROOT / "app/observability/otel.py"
    product = [path for path in modules(*PACKAGES) if path != extra]
    assert undeclared(product, required(PROJECT["dependencies"])) == set()
    declared = required([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["otel"]])
    assert undeclared([extra], declared) == set()


def test_scripts_and_tests_import_only_declared_dependencies() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = required([*PROJECT["dependencies"], *extras["dev"]])
    assert undeclared(modules("scripts", "tests"), declared) == set()


def test_what_a_user_starts_does_without_what_only_developers_install() -> None:
    folders = ("scripts/launching", "scripts/seeding", "scripts/simulator", "scripts/chatting")
    alone = [ROOT / "scripts" / name for name in ("launch.py", "chat.py", "seed_catalog.py", "seed_tenants.py")]
    assert undeclared([*modules(*folders), *alone], required(PROJECT["dependencies"])) == set()


def test_no_module_of_the_product_is_longer_than_300_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules(*PACKAGES)}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_module_of_the_product_says_first_why_it_exists() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        if (text := path.read_text()).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_every_part_of_the_application_has_its_layer() -> None:
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = set(re.findall(r"[\w.]+", " ".join(layers)))
    parts = {
        f"app.{path.stem}" for path in (ROOT / "app").glob("[!.]*") if path.name not in {"__init__.py", "__pycache__"}
    }
    assert parts - placed == set()


@pytest.mark.parametrize("script", ["scripts/run", "scripts/cluster", "scripts/test", "scripts/lock", ".ci/run"])
def test_a_command_can_be_called(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert (ROOT / script).read_text().startswith("#!/usr/bin/env bash\n")
