"""The launcher's pieces: its directory, its settings, who is simulated, and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.config import Secret, Settings
from app.providers.registry import dialects
from scripts import launch
from scripts.launching.demo_bots import connect_bots
from scripts.launching.directory import DataDirectory, LaunchError, open_directory
from scripts.launching.simulator import has_provider_key, plays_whatsapp, with_simulator
from tests.scripts.modes import mode


def environment(directory: DataDirectory, base: Mapping[str, str], *arguments: str) -> dict[str, str]:
    return launch.environment(launch.parser().parse_args(arguments), directory, base)


def test_the_directory_and_its_secret_are_for_their_owner_alone(directory: DataDirectory) -> None:
    directory.secret()
    assert mode(directory.path) == 0o700
    assert mode(directory.path / "secret") == 0o600


def test_the_secret_is_made_once_and_lasts(directory: DataDirectory) -> None:
    first = directory.secret()
    assert len(first) == 64
    assert directory.secret() == first


def test_a_damaged_secret_is_not_replaced_in_silence(directory: DataDirectory) -> None:
    (directory.path / "secret").write_text("short")
    with pytest.raises(LaunchError, match="holds no secret"):
        directory.secret()


def test_a_directory_serves_one_launcher_at_a_time(directory: DataDirectory) -> None:
    directory.write_run({"root_url": "http://127.0.0.1:8000", "pid": 42})
    told = r"is running on .* at http://127\.0\.0\.1:8000, process 42"
    with pytest.raises(LaunchError, match=told), open_directory(directory.path):
        pass
    assert (directory.path / "run.json").exists()


def test_the_run_file_of_a_killed_launcher_is_gone_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with open_directory(tmp_path):
        assert not (tmp_path / "run.json").exists()


def test_the_run_file_goes_with_the_launcher(tmp_path: Path) -> None:
    with open_directory(tmp_path) as directory:
        directory.write_run({"pid": 1})
        assert mode(tmp_path / "run.json") == 0o600
    assert not (tmp_path / "run.json").exists()


def test_what_the_environment_does_not_say_comes_from_the_directory(directory: DataDirectory) -> None:
    found = environment(directory, {"PATH": "/bin", "DATABASE_URL": " "})
    settings = Settings.from_environment(found)
    assert settings.database_url == f"sqlite:///{directory.path}/gateway.db"
    assert settings.access_log_file == f"{directory.path}/access.log"
    assert settings.blob_dir == f"{directory.path}/blobs"
    assert settings.secret_key == directory.secret()
    assert settings.log_level == "warning"


def test_the_environment_wins_over_the_directory_and_makes_no_secret(directory: DataDirectory) -> None:
    found = environment(directory, {"DATABASE_URL": "sqlite:///other.db", "SECRET_KEY": "from the environment"})
    assert found["DATABASE_URL"] == "sqlite:///other.db"
    assert found["SECRET_KEY"] == "from the environment"
    assert not (directory.path / "secret").exists()


def test_the_command_line_wins_over_the_environment(directory: DataDirectory) -> None:
    found = environment(directory, {"PORT": "1", "HOST": "::1"}, "--port", "0")
    assert (found["PORT"], found["HOST"]) == ("0", "::1")


def test_the_simulator_plays_every_provider_besides_the_self_hosted_one() -> None:
    settings = Settings(self_hosted_base_url="http://127.0.0.1:11434/v1")
    assert not has_provider_key(settings)
    played = with_simulator(settings, "http://sim")
    assert played.faults() == []
    assert {dialect.name: url for dialect, url in dialects(played)} == {
        "openrouter": "http://sim/openrouter/api/v1",
        "cloudflare": "http://sim/cloudflare/client/v4/accounts/demo/ai",
        "sarvam": "http://sim/sarvam",
        "fast": "http://sim/openai/v1",
        "local": "http://127.0.0.1:11434/v1",
    }


def test_the_simulator_plays_whatsapp_too() -> None:
    played = with_simulator(Settings(), "http://sim")
    assert plays_whatsapp(played, "http://sim")
    assert played.meta_graph_url == "http://sim/graph/v25.0"
    assert (played.twilio_api_url, played.twilio_messaging_url) == ("http://sim/twilio", "http://sim/twilio")


@pytest.mark.parametrize(
    "configured",
    [
        {"meta_graph_url": "https://graph.example/v25.0"},
        {"meta_app_secrets": Secret("real")},
        {"meta_verify_token": Secret("real")},
    ],
)
def test_a_real_configuration_of_meta_is_never_overridden(configured: dict[str, Any]) -> None:
    settings = Settings(**configured)
    played = with_simulator(settings, "http://sim")
    assert played.meta_graph_url == settings.meta_graph_url
    assert not plays_whatsapp(played, "http://sim")
    assert played.twilio_api_url == "http://sim/twilio"


def test_a_real_configuration_of_twilio_is_never_overridden() -> None:
    settings = Settings(twilio_api_url="https://api.example")
    played = with_simulator(settings, "http://sim")
    assert played.twilio_api_url == settings.twilio_api_url
    assert played.twilio_messaging_url == settings.twilio_messaging_url
    assert plays_whatsapp(played, "http://sim")


async def test_no_bot_is_made_where_nobody_plays_whatsapp() -> None:
    for settings, url in ((Settings(), "http://sim"), (Settings(), None)):
        assert await connect_bots(settings, "http://gateway", "cm_", url, pytest.fail) == ()


async def test_a_gateway_starts_without_bots_when_they_cannot_be_connected() -> None:
    told = list[str]()
    gone = "http://127.0.0.1:9"
    assert await connect_bots(with_simulator(Settings(), gone), gone, "cm_", gone, told.append) == ()
    assert len(told) == 1
    assert f"{gone} does not answer" in told[0]


@pytest.mark.parametrize("name", ["openrouter_api_key", "cloudflare_api_token", "sarvam_api_key", "fast_api_key"])
def test_one_provider_key_is_enough_to_do_without_the_simulator(name: str) -> None:
    assert has_provider_key(Settings(**{name: Secret("key")}))  # type: ignore[arg-type]


def test_whatsapp_that_is_configured_cannot_be_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SARVAM_API_KEY", "real")
    monkeypatch.setenv("META_APP_SECRETS", "real")
    assert launch.main(["--port", "0", "--data", str(tmp_path), "--play-whatsapp"]) == 1
    assert "Meta's WhatsApp is configured (META_...)" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "65"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    with pytest.raises(SystemExit):
        launch.main(["--workers", workers, "--data", str(tmp_path / "data")])
    assert f"--workers: '{workers}' is not a number from 1 to 64" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_named_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert launch.main(["--port", str(port), "--data", str(tmp_path)]) == 1
    assert f"Port {port} on 127.0.0.1 is taken" in (told := capsys.readouterr().err)
    assert "--port" in told


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "Stopped before it was ready.\n"),
        (OSError("the disk is full"), 1, "error: the disk is full\n"),
    ],
)
def test_an_end_before_it_is_ready_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    def fail(options: object) -> None:
        raise BaseExceptionGroup("as a nursery does", [error])

    monkeypatch.setattr(launch, "_launch", fail)
    assert launch.main([]) == code
    assert capsys.readouterr().err == told
