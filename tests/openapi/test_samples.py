"""The calls that the document shows to copy work as they stand."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from app.api.openapi.samples import example_of
from tests.e2e.speaking import recording
from tests.openapi.documents import operations
from tests.openapi.live import Live

#: They would end what asks, keep it from spending, or need what only a person has.
NOT_RUN: Final = frozenset(
    {
        *("logout", "login", "register", "accept_invitation", "change_account", "close_session"),
        *("change_role", "set_budget"),
    }
)
CONFLICT: Final = 409
CURL: Final = shutil.which("curl")
Known = Callable[[dict[str, Any]], dict[str, str]]


def samples(lang: str) -> list[Any]:
    """Operation and source of every sample in this language that can succeed."""
    return [
        pytest.param({**operation, "method": method}, sample["source"], id=operation["operationId"])
        for method, _, operation in operations()
        for sample in operation["x-codeSamples"]
        if sample["lang"] == lang and operation["operationId"] not in NOT_RUN and succeeds(operation)
    ]


def succeeds(operation: dict[str, Any]) -> set[int]:
    return {int(status) for status in operation["responses"] if status.startswith("2")}


@pytest.fixture
def known(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    """What the samples leave to their reader: addresses, credentials, ids, and a recording in the folder."""
    monkeypatch.chdir(tmp_path)
    Path("speech.wav").write_bytes(recording())

    def variables(operation: dict[str, Any]) -> dict[str, str]:
        things = live.make_things(secrets.token_hex(4)) if operation["method"] == "DELETE" else live.things
        house = {"BASE_URL": live.house.url, "API_KEY": live.house.customer.key, "SESSION": live.owner.token}
        return {name.upper(): value for name, value in things.items()} | house

    return variables


@pytest.mark.parametrize(("operation", "source"), samples("Python"))
def test_a_call_in_python_works(
    operation: dict[str, Any], source: str, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = known(operation)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    scope: dict[str, Any] = {}
    code = compile(source.replace("resp_...", variables["RESPONSE_ID"]), operation["operationId"], "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenAI's SDK would rather have no translations
        exec(code, scope)  # noqa: S102 - our own words
    if "client" in scope:
        scope["client"].close()
    if "reply" in scope:
        assert scope["reply"].status_code in succeeds(operation) | {CONFLICT}, scope["reply"].text


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize(("operation", "source"), samples("Shell"))
def test_a_call_with_curl_works(operation: dict[str, Any], source: str, known: Known) -> None:
    command = f"{source} -s --max-time 10 -o answer -w '%{{http_code}}'"
    done = subprocess.run(
        ["bash", "-c", command],  # noqa: S607
        env={**known(operation), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) in succeeds(operation) | {CONFLICT}, source


def test_an_example_is_made_from_a_schema() -> None:
    part = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]}
    schema = {
        "type": "object",
        "properties": {
            "part": {"$ref": "#/components/schemas/Part"},
            "kind": {"enum": ["x", "y"]},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "list": {"type": "array", "items": {"type": "string", "examples": ["one"]}, "minItems": 1},
            "left_out": {"type": "string"},
        },
        "required": ["part", "kind", "either", "list"],
    }
    made = example_of(schema, {"Part": part})
    assert made == {"part": {"a": 3}, "kind": "x", "either": True, "list": ["one"]}
