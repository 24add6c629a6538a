"""Settings: every broken value is named, nothing is taken silently, no secret shows."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from app.config import FIELDS, ConfigError, Secret, Settings

GOOD = {"SECRET_KEY": "0123456789abcdef", "DATABASE_URL": "sqlite:///data/test.db"}
#: What is set, and the start of the one line that must name it.
BROKEN = [
    ({"DATABASE_URL": "gateway.db"}, "DATABASE_URL: write sqlite:///PATH"),
    ({"DATABASE_URL": "sqlite:///"}, "DATABASE_URL: write sqlite:///PATH"),
    ({"DATABASE_URL": "mysql://localhost/db"}, "DATABASE_URL: write sqlite:///PATH"),
    ({"SECRET_KEY": "short"}, "SECRET_KEY: use at least 16 characters"),
    ({"CERTFILE": "cert.pem"}, "CERTFILE and KEYFILE go together"),
    ({"KEYFILE": "key.pem"}, "CERTFILE and KEYFILE go together"),
    ({"CLOUDFLARE_API_TOKEN": "token"}, "CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID go together"),
    ({"CLOUDFLARE_ACCOUNT_ID": "id"}, "CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID go together"),
    ({"OPENROUTER_BASE_URL": "openrouter.ai/api"}, "OPENROUTER_BASE_URL: 'openrouter.ai/api' is not an http"),
    ({"SARVAM_BASE_URL": "ftp://host"}, "SARVAM_BASE_URL: 'ftp://host' is not an http"),
    ({"PUBLIC_URL": "api.example.com"}, "PUBLIC_URL: 'api.example.com' is not an http"),
    ({"IMAGE_HISTORY_DAYS": "-1"}, "IMAGE_HISTORY_DAYS: -1 is not at least 0"),
    ({"INBOX_DAYS": "7"}, "INBOX_DAYS: at least 8"),
    ({"INBOX_DAYS": "0"}, "INBOX_DAYS: 0 is not more than 0"),
    ({"META_GRAPH_URL": "graph.facebook.com"}, "META_GRAPH_URL: 'graph.facebook.com' is not an http"),
    ({"SELF_HOSTED_BASE_URL": "http://"}, "SELF_HOSTED_BASE_URL: 'http://' is not an http"),
    ({"SELF_HOSTED_FLAVOUR": "llama"}, "SELF_HOSTED_FLAVOUR: 'llama' is not one of generic, ollama, vllm, llamacpp"),
    ({"SQLITE_SYNCHRONOUS": "off"}, "SQLITE_SYNCHRONOUS: 'off' is not one of FULL, NORMAL"),
    ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: 'loud' is not one of debug, info, warning, error"),
    ({"PORT": "http"}, "PORT: 'http' is not a number"),
    ({"PORT": "8000.5"}, "PORT: '8000.5' is not a number"),
    ({"PORT": "-1"}, "PORT: -1 is not at least 0"),
    ({"PORT": "65536"}, "PORT: 65536 is above 65535"),
    ({"METRICS_PORT": "65536"}, "METRICS_PORT: 65536 is above 65535"),
    ({"TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, "TRUSTED_PROXIES: 'proxy' does not appear to be an IPv4 or IPv6"),
    ({"REGISTRATION": "maybe"}, "REGISTRATION: 'maybe' is not one of open, closed"),
    ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN: use at least 16 characters"),
    ({"HEARTBEAT_S": "soon"}, "HEARTBEAT_S: 'soon' is not a number"),
    ({"HEARTBEAT_S": "nan"}, "HEARTBEAT_S: nan is not more than 0"),
    ({"WRITE_DEADLINE_S": "inf"}, "WRITE_DEADLINE_S: inf is not more than 0"),
    ({"MAX_PARALLEL": "0"}, "MAX_PARALLEL: 0 is not more than 0"),
    ({"BODY_CAP_BYTES": "0"}, "BODY_CAP_BYTES: 0 is not more than 0"),
    ({"SWEEP_S": "0"}, "SWEEP_S: 0.0 is not more than 0"),
    ({"DATABASE_DEADLINE_S": "-0.5"}, "DATABASE_DEADLINE_S: -0.5 is not more than 0"),
    ({"ACCESS_LOG": "maybe"}, "ACCESS_LOG: 'maybe' is not a yes or no; write 1 or 0"),
]


@pytest.mark.parametrize(("environment", "named"), BROKEN)
def test_a_broken_value_is_named_and_nothing_else_is(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(GOOD | environment)
    assert [fault[: len(named)] for fault in caught.value.faults] == [named]
    assert named in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"PORT": "x", "LOG_LEVEL": "x", "HEARTBEAT_S": "x"})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["PORT", "HEARTBEAT_S", "LOG_LEVEL"]


def test_the_defaults_are_in_order() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings().faults() == []


def test_an_empty_or_blank_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"PORT": "", "HOST": "   ", "SECRET_KEY": ""}) == Settings()


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("yes", True), ("ON", True), ("0", False), ("No", False), ("off", False)]
)
def test_a_switch_takes_the_usual_words(text: str, value: bool) -> None:
    assert Settings.from_environment({"ACCESS_LOG": text}).access_log is value


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT", "FIRST_BYTE_GRACE_S", "FIRST_BYTE_S", "DRAIN_S"])
def test_zero_is_a_value_where_it_means_something(name: str) -> None:
    assert getattr(Settings.from_environment({name: "0"}), name.lower()) == 0


def test_every_setting_can_be_set_and_says_what_it_is() -> None:
    assert {name for name, _, _ in FIELDS} == {each.name.upper() for each in fields(Settings)}
    assert [name for name, _, doc in FIELDS if len(doc) < 8] == []


def test_no_secret_shows_in_a_repr() -> None:
    secrets = [each.name for each in fields(Settings) if isinstance(each.default, Secret)]
    canaries: dict[str, Any] = {name: Secret(f"canary-{name}-canary") for name in secrets}
    settings = replace(Settings(), **canaries)
    assert len(secrets) >= 6
    assert "canary" not in repr(settings)
    assert "canary" not in f"{settings}"
    assert repr(settings).count("'***'") == len(secrets)


def test_a_secret_that_is_not_set_can_be_told_from_one_that_is() -> None:
    assert (repr(Secret()), repr(Secret("x")), str(Secret("x"))) == ("''", "'***'", "x")


def test_secrets_from_the_environment_are_secrets() -> None:
    settings = Settings.from_environment({"OPENROUTER_API_KEY": "sk-or-canary"})
    assert isinstance(settings.openrouter_api_key, Secret)
    assert "canary" not in repr(settings)


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
