"""The launcher as a process: from nothing to answers, a second start, a kill."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from app.__main__ import main
from tests.launcher import STOP_S, launched

FIELDS = (
    """base_url root_url api_key tenant_id admin_email admin_password dashboard_url simulator_url database_url pid"""
)


def is_served(url: str) -> bool:
    try:
        httpx2.get(f"{url}/healthz", timeout=5, trust_env=False)
    except httpx2.TransportError:
        return False
    return True


def test_from_nothing_to_an_answer_that_is_charged_and_back(tmp_path: Path) -> None:
    with launched(tmp_path / "data") as gateway:
        assert gateway.run.keys() == set(FIELDS.split())
        assert gateway.run["pid"] == gateway.process.pid
        assert gateway.run["dashboard_url"] is None
        assert (gateway.data / "run.json").stat().st_mode & 0o777 == 0o600
        key, root_url = gateway.run["api_key"], gateway.run["root_url"]
        with OpenAI(base_url=gateway.run["base_url"], api_key=key, max_retries=0) as client:
            stream = client.chat.completions.create(
                model="kimi-k2.5-fast", messages=[{"role": "user", "content": "Hello!"}], stream=True
            )
            words = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        credits = httpx2.get(f"{root_url}/v1/credits", headers={"authorization": f"Bearer {key}"}, trust_env=False)
        code, output = gateway.stop(signal.SIGINT)
    assert len("".join(words)) > 20
    assert 9_999 < credits.json()["balance"] < 10_000
    assert code == 0
    assert f"curl -N {root_url}/v1/chat/completions" in output
    assert '"path":"/v1/chat/completions"' in (gateway.data / "access.log").read_text()
    assert '"event":"request"' not in output
    assert not (gateway.data / "run.json").exists()
    assert not is_served(gateway.run["simulator_url"])


def test_a_second_start_answers_to_the_same_key_and_a_running_call_ends_before_it_stops(tmp_path: Path) -> None:
    with launched(tmp_path) as first:
        code, _ = first.stop(signal.SIGTERM)
        assert code == 0
    with launched(tmp_path) as second:
        assert second.run["api_key"] == first.run["api_key"]
        with OpenAI(base_url=second.run["base_url"], api_key=second.run["api_key"], max_retries=0) as client:
            stream = client.chat.completions.create(
                model="sarvam-30b",
                messages=[{"role": "user", "content": "[tokens=30] [pace=30] Slowly, please."}],
                stream=True,
            )
            first_chunk = next(stream)
            second.process.send_signal(signal.SIGINT)
            rest = list(stream)
        code = second.process.wait(STOP_S)
    assert first_chunk.id == rest[-1].id
    assert rest[-1].choices[0].finish_reason is not None
    assert code == 0


def test_a_killed_launcher_takes_its_simulator_along(tmp_path: Path) -> None:
    with launched(tmp_path) as gateway:
        assert is_served(gateway.run["simulator_url"])
        gateway.process.kill()
        gateway.process.wait(STOP_S)
    deadline = time.monotonic() + STOP_S
    while is_served(gateway.run["simulator_url"]):
        assert time.monotonic() < deadline, "the simulator outlived its launcher"
        time.sleep(0.1)


def test_two_workers_answer_at_one_address_and_stop_with_the_launcher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with launched(tmp_path, "--workers", "2") as gateway:
        assert gateway.run["pid"] == gateway.process.pid
        with OpenAI(base_url=gateway.run["base_url"], api_key=gateway.run["api_key"], max_retries=0) as client:
            for _ in range(4):
                answer = client.chat.completions.create(
                    model="sarvam-30b", messages=[{"role": "user", "content": "Hello!"}]
                )
                assert answer.choices[0].message.content
        assert main(["chat", "--data", str(tmp_path), "--bot", "Asha", "--message", "Hello!"]) == 0
        assert "Asha: The market opens" in capsys.readouterr().out
        threads = Path(f"/proc/{gateway.process.pid}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        code, output = gateway.stop(signal.SIGTERM)
    assert len(children) == 3, "two workers and the simulator"
    assert code == 0
    assert "Stopped." in output
    assert not is_served(gateway.run["root_url"])


def test_without_the_simulator_nothing_speaks_of_one(tmp_path: Path) -> None:
    with launched(tmp_path, "--no-simulator") as gateway:
        assert gateway.run["simulator_url"] is None
        assert is_served(gateway.run["root_url"])
        _, output = gateway.stop(signal.SIGTERM)
    assert "none: no provider is set" in output
