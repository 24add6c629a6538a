"""The lock of the JavaScript SDKs: `npm install --package-lock-only --omit-lockfile-registry-resolved` makes it."""

from __future__ import annotations

import json

from tests.clients.node import HERE


def test_the_lock_names_versions_and_digests_and_no_address() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("resolved" not in package and package["integrity"] for package in packages.values())
