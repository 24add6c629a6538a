"""The launcher: its pieces one by one, then the real command with a real client."""

from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from app.config import Secret, Settings
from app.core.identity import is_key, key_digest, now_us
from app.main import open_storage
from app.providers.registry import dialects
from app.storage import keys, ledger
from app.storage.database import EVERY_TENANT, Transaction
from catalog.catalog import Catalog
from scripts import launch
from scripts.launching.demo import Demo, open_demo
from scripts.launching.demo_bots import connect_bots
from scripts.launching.directory import DataDirectory, LaunchError, open_directory
from scripts.launching.simulator import has_provider_key, plays_whatsapp, with_simulator, with_whatsapp
from scripts.launching.summary import LOCAL_MODEL, Ready, callable_model, reachable
from scripts.seed_catalog import seed_catalog
from scripts.seeding.target import Target

SECRET = b"a secret for the tests of the launcher"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    with open_directory(tmp_path / "data") as opened:
        yield opened


def environment(directory: DataDirectory, base: Mapping[str, str], *arguments: str) -> dict[str, str]:
    return launch.environment(launch.parser().parse_args(arguments), directory, base)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


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


def test_whatsapp_that_is_configured_cannot_be_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SARVAM_API_KEY", "real")
    monkeypatch.setenv("META_APP_SECRETS", "real")
    assert launch.main(["--port", "0", "--data", str(tmp_path), "--play-whatsapp"]) == 1
    assert "Meta's WhatsApp is configured (META_...)" in capsys.readouterr().err


def test_the_summary_does_not_speak_of_a_simulator_that_is_not_there() -> None:
    assert "simulator" not in ready(Settings(sarvam_api_key=Secret("key")), None).text()


def test_the_example_trusts_the_servers_own_certificate() -> None:
    assert "curl -N --cacert 'my cert.pem' https://" in ready(Settings(certfile="my cert.pem"), None).text()


async def opened(directory: DataDirectory, secret: bytes = SECRET) -> Demo:
    """What one start of the launcher does with the demo tenant."""
    settings = Settings(database_url=f"sqlite:///{directory.path}/gateway.db")
    async with open_storage(settings) as db:
        await seed_catalog(Target(db), Catalog.load())
        demo = await open_demo(db, secret, directory)
        assert await db.read(EVERY_TENANT, ledger.broken_tenants) == []

        def tenant_of_key(t: Transaction) -> str:
            return keys.find_principal(t, key_digest(secret, demo.api_key), now_us()).tenant_id

        def hash_of_admin(t: Transaction) -> Any:
            return t.one("SELECT password_hash FROM users WHERE email = ?", demo.admin_email)

        assert await db.read(EVERY_TENANT, tenant_of_key) == demo.tenant_id
        if demo.admin_password is not None:
            row = await db.read(EVERY_TENANT, hash_of_admin)
            assert PasswordHasher().verify(row[0], demo.admin_password)
    return demo


async def change(directory: DataDirectory, sql: str) -> None:
    async with open_storage(Settings(database_url=f"sqlite:///{directory.path}/gateway.db")) as db:
        await db.write(EVERY_TENANT, lambda t: t.run(sql))


async def look(directory: DataDirectory, sql: str) -> Any:
    async with open_storage(Settings(database_url=f"sqlite:///{directory.path}/gateway.db")) as db:
        return await db.read(EVERY_TENANT, lambda t: t.all(sql))


async def test_the_demo_stays_the_same_from_start_to_start(directory: DataDirectory) -> None:
    first = await opened(directory)
    assert is_key(first.api_key)
    assert first.credits_ucr == 10_000_000_000
    assert mode(directory.path / "demo.json") == 0o600
    assert await opened(directory) == first


async def test_a_lost_demo_file_makes_a_second_key_and_a_new_password(directory: DataDirectory) -> None:
    first = await opened(directory)
    (directory.path / "demo.json").unlink()
    second = await opened(directory)
    assert second.tenant_id == first.tenant_id
    assert second.api_key != first.api_key
    assert second.credits_ucr == first.credits_ucr


async def test_a_revoked_demo_key_is_replaced(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE api_keys SET is_active = 0")
    assert (await opened(directory)).api_key != first.api_key


async def test_a_demo_key_of_an_older_version_that_opens_no_platform_is_replaced(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE api_keys SET scopes = ''")
    second = await opened(directory)
    assert second.api_key != first.api_key
    assert await look(directory, "SELECT COUNT(*) FROM api_keys WHERE is_active = 1") == [(2,)]


async def test_a_new_demo_key_leaves_alone_what_the_organisation_changed(directory: DataDirectory) -> None:
    await opened(directory)
    await change(directory, "UPDATE tenants SET plan = 'pro', budget = 777")
    await change(directory, "UPDATE users SET role = 'admin', full_name = 'Asha'")  # the owner is somebody else now
    add = "INSERT INTO users (id, tenant_id, email, full_name, role, password_hash, created_at) SELECT "
    await change(directory, f"{add} 'usr_2', id, 'new@demo.example', 'New', 'owner', '', 0 FROM tenants")
    await change(directory, "UPDATE api_keys SET is_active = 0")
    before = await look(directory, "SELECT plan, budget FROM tenants"), await look(directory, "SELECT * FROM users")
    await opened(directory)
    after = await look(directory, "SELECT plan, budget FROM tenants"), await look(directory, "SELECT * FROM users")
    assert after == before


async def test_a_password_that_the_admin_changed_is_not_shown_any_more(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE users SET password_hash = 'of a phrase of their own'")
    demo = await opened(directory)
    assert demo == replace(first, admin_password=None)
    text = Ready("http://127.0.0.1:1", "m", demo, Settings(), Path("data"), None).text()
    assert "admin     the first password of admin@demo.example works no more" in text


async def test_an_admin_who_was_removed_is_not_shown_any_more(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE users SET email = 'somebody@else.example'")
    assert await opened(directory) == replace(first, admin_password=None)


async def test_a_new_secret_keeps_the_demo_working(directory: DataDirectory) -> None:
    first = await opened(directory)
    second = await opened(directory, b"another secret, set in the environment")
    assert (second.tenant_id, second.admin_password) == (first.tenant_id, first.admin_password)


async def test_a_lost_database_gets_the_remembered_key(directory: DataDirectory) -> None:
    first = await opened(directory)
    for path in directory.path.glob("gateway.db*"):
        path.unlink()
    second = await opened(directory)
    assert (second.api_key, second.admin_password) == (first.api_key, first.admin_password)


async def test_a_renamed_demo_organisation_keeps_its_key(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE tenants SET name = 'My own'")
    assert await opened(directory) == first


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
