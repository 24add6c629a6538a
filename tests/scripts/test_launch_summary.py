"""What the launcher prints when it is ready: who answers, an example that works, what to try."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.config import Secret, Settings
from catalog.catalog import Catalog
from scripts.launching.demo import Demo
from scripts.launching.simulator import with_whatsapp
from scripts.launching.summary import LOCAL_MODEL, Ready, callable_model, reachable


@pytest.mark.parametrize(
    ("providers", "model"),
    [(["cloudflare", "fast"], "kimi-k2.5-fast"), (["sarvam"], "sarvam-30b"), (["local"], LOCAL_MODEL)],
)
def test_the_example_names_a_model_that_can_be_called(providers: list[str], model: str) -> None:
    assert callable_model(Catalog.load(), providers) == model


@pytest.mark.parametrize(
    ("listening", "told"),
    [
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("https://[::]:8443", "https://[::1]:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_on_loopback(listening: str, told: str) -> None:
    assert reachable(listening) == told


def ready(settings: Settings, simulator_url: str | None) -> Ready:
    demo = Demo("ten_1", "cm_key", "admin@demo.example", "word", 1_234_500_000)
    return Ready("https://127.0.0.1:1", "m", demo, settings, Path("data"), simulator_url)


def test_the_summary_says_that_a_simulator_answers() -> None:
    text = ready(Settings(), "http://sim").text()
    assert "made up by the simulator at http://sim" in text
    assert "1,234.50" in text


@pytest.mark.parametrize(("data", "option"), [(Path("data").resolve(), ""), (Path("/my data"), " --data '/my data'")])
def test_the_summary_says_how_to_write_to_a_bot(data: Path, option: str) -> None:
    demo = Demo("ten_1", "cm_key", "admin@demo.example", "word", 0)
    text = Ready("http://127.0.0.1:1", "m", demo, Settings(), data, "http://sim", ["Asha", "Ravi"]).text()
    assert "Write to Asha, a WhatsApp bot (Ravi too)" in text
    assert f"python -m app chat{option} --bot Asha\n" in text.replace(Path(sys.executable).name, "python")
    assert "app chat" not in ready(Settings(), "http://sim").text()


def test_the_summary_tells_real_models_from_a_simulator_that_plays_whatsapp_alone() -> None:
    settings = with_whatsapp(Settings(sarvam_api_key=Secret("key")), "http://sim")
    assert "from the providers whose keys are set" in ready(settings, "http://sim").text()


def test_the_summary_does_not_speak_of_a_simulator_that_is_not_there() -> None:
    assert "simulator" not in ready(Settings(sarvam_api_key=Secret("key")), None).text()


def test_the_example_trusts_the_servers_own_certificate() -> None:
    assert "curl -N --cacert 'my cert.pem' https://" in ready(Settings(certfile="my cert.pem"), None).text()
