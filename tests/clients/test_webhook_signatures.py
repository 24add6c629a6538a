"""The code that docs/webhooks.md gives to receivers tells a genuine delivery from any other, in Python and in Node."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from app.core.webhooks import new_secret, signature

DOCS: Final = Path(__file__).parents[2] / "docs" / "webhooks.md"
SECRET, OLD, OTHER = new_secret(), new_secret(), new_secret()
BODY: Final = '{"event":"credits.low","data":{"name":"नमस्ते"},"timestamp":"2026-08-01T09:30:00.000000Z"}'.encode()
SIGNED: Final = {"x-callmissed-signature": signature(SECRET, BODY)}
ROTATED: Final = {**SIGNED, "x-callmissed-signature-previous": signature(OLD, BODY)}
#: (secret, body, headers, whether it is genuine).
CASES: Final[list[tuple[str, bytes, dict[str, str], bool]]] = [
    (SECRET, BODY, SIGNED, True),
    (SECRET, BODY, ROTATED, True),
    (OLD, BODY, ROTATED, True),
    (OLD, BODY, SIGNED, False),
    (OTHER, BODY, ROTATED, False),
    ("", BODY, SIGNED, False),
    (SECRET, BODY + b" ", SIGNED, False),
    (SECRET, BODY, {}, False),
    (SECRET, BODY, {"x-callmissed-signature": ""}, False),
    (SECRET, BODY, {"x-callmissed-signature": signature(SECRET, BODY).removeprefix("sha256=")}, False),
    (SECRET, BODY, {"x-callmissed-signature": "sha256=" + "é" * 32}, False),
]
Judge = Callable[[Path, str], Awaitable[list[bool]]]


def code(language: str) -> str:
    """The page's one block in this language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


async def in_python(_folder: Path, block: str) -> list[bool]:
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - from our own page
    return [names["is_genuine"](secret, body, headers) for secret, body, headers, _ in CASES]


async def in_node(folder: Path, block: str) -> list[bool]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (folder / "signature.mjs").write_text(block)
    (folder / "check.mjs").write_text(
        'import { isGenuine } from "./signature.mjs";\n'
        f"const cases = {json.dumps([(secret, body.decode(), headers) for secret, body, headers, _ in CASES])};\n"
        "const judged = cases.map(([secret, body, headers]) => isGenuine(secret, Buffer.from(body), headers));\n"
        "console.log(JSON.stringify(judged));\n"
    )
    done = await trio.run_process(["node", "check.mjs"], cwd=folder, capture_stdout=True)
    judged: list[bool] = json.loads(done.stdout)
    return judged


@pytest.mark.parametrize(("language", "judge"), [("python", in_python), ("js", in_node)])
async def test_the_code_of_the_page_tells_a_genuine_delivery(language: str, judge: Judge, tmp_path: Path) -> None:
    assert await judge(tmp_path, code(language)) == [genuine for *_, genuine in CASES]
