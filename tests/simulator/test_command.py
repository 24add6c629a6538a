"""The command line: its help, its one line, its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from scripts.simulator.cues import CUES
from scripts.simulator.triggers import TRIGGERS
from scripts.simulator.whatsapp import surfaces as whatsapp
from scripts.simulator.whatsapp.faults import FAULTS
from tests.simulator.asking import PATHS, chat_body

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "scripts.simulator"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_well_on_a_signal(end: signal.Signals) -> None:
    arguments = ["--port", "0", "--pace", "100", "--first-token-ms", "50"]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        reply = httpx2.post(
            url + PATHS["openai"], json=chat_body("[tokens=10]"), headers={"authorization": "Bearer k"}, trust_env=False
        )
        process.send_signal(end)
        assert process.wait(timeout=5) == 0
        assert process.stdout.read() == ""
    assert reply.elapsed.total_seconds() >= 0.15


def test_a_port_in_use_is_said_and_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*COMMAND, "--port", port], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in done.stderr


def test_help_lists_every_trigger_and_cue() -> None:
    done = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name, trigger in TRIGGERS.items() if f"{name} " not in done.stdout] == []
    assert [trigger.about for trigger in TRIGGERS.values() if trigger.about not in done.stdout] == []
    assert [cue for cue in CUES if cue not in done.stdout] == []
    assert [fault.about for fault in FAULTS.values() if fault.about not in done.stdout] == []
    assert [route.path for route in whatsapp.SURFACES + whatsapp.DESKS if route.path not in done.stdout] == []
