"""Node for the tests of the JavaScript SDKs: installed once a run into a temporary folder, by the lock beside this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.e2e.calling import Caller
from tests.e2e.speaking import recording

HERE: Final = Path(__file__).parent
INSTALL_S: Final = 120
RUN_S: Final = 60


def install(folder: Path) -> Path:
    """The SDKs of package.json, the scripts and a recording beside them. Skips the test where that is not possible."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed: the JavaScript SDKs are not run")
    for path in [*HERE.glob("package*.json"), *HERE.glob("*.mjs")]:
        shutil.copy(path, folder)
    (folder / "speech.wav").write_bytes(recording(4000))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_S, check=False, text=True)
    if done.returncode != 0:
        pytest.skip(f"npm could not install the JavaScript SDKs: {done.stderr.strip()[-300:]}")
    return folder


async def run_script(folder: Path, script: str, caller: Caller, path: str = "/v1") -> Any:
    """What the script prints, as JSON. It finds the gateway in BASE_URL and the customer's key in API_KEY."""
    environment = {**os.environ, "BASE_URL": f"{caller.house.url}{path}", "API_KEY": caller.house.customer.key}
    with trio.fail_after(RUN_S):
        done = await trio.run_process(
            ["node", script], cwd=folder, env=environment, capture_stdout=True, capture_stderr=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
