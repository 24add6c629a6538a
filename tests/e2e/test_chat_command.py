"""`python -m app chat` with a gateway that was started as a user starts it: the whole way of a WhatsApp message."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from app.__main__ import main
from scripts.chatting.asking import Door
from scripts.launching.simulator import ROOT
from tests.launcher import Launched, launched

PATIENCE_S = 30.0
USERS = count(1)
#: So that Ctrl-C reaches it.
AT_A_TERMINAL = """
import os, sys
os.login_tty(os.dup(0))
os.execv(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]])
"""
STORY = "The market opens before the sun is up"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launched(tmp_path_factory.mktemp("chat")) as running:
        yield running


def words(gateway: Launched, *more: str, bot: str = "Asha") -> list[str]:
    """A command line for a user who has never written before."""
    return ["chat", "--data", str(gateway.data), "--bot", bot, "--as", f"+1555013{next(USERS):04}", *more]


@pytest.fixture
def chat(gateway: Launched, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: (exit code, output, errors)."""

    def run(*messages: str, bot: str = "Asha") -> tuple[int, str, str]:
        said = [word for message in messages for word in ("--message", message)]
        code = main(words(gateway, *said, bot=bot))
        return code, *capsys.readouterr()

    return run


def test_a_conversation_with_a_bot_of_the_demo(chat: Callable[..., tuple[int, str, str]]) -> None:
    code, output, errors = chat("Namaste! आपके पास चाय है?", "[tool=reply_buttons] Which one?", "1")
    assert (code, errors) == (0, "")
    told = [line.rstrip() for line in output.splitlines()]
    assert told[1:4] == ["You:  Namaste! आपके पास चाय है?", "      ✓✓ read", "      Asha is typing…"]
    assert told[4].startswith(f"Asha: {STORY}")
    assert told[told.index("Asha: Pune") + 1 : told.index("Asha: Pune") + 3] == ["      [1] Pune", "You:  [1] Pune"]
    assert sum(STORY in line for line in told) == 2


def test_after_a_handover_nothing_is_answered_and_the_chat_says_why(chat: Callable[..., tuple[int, str, str]]) -> None:
    code, output, errors = chat("agent", "Hello?")
    assert code == 1
    assert "Asha: I am passing you on to a colleague" in output
    assert "(Asha has handed over to a person and is silent from now on; /resume lets it answer again)" in output
    assert errors == "error: No answer to 'Hello?': a person has taken over, and Asha is silent until /resume.\n"


def test_the_bots_own_words_are_no_answer_to_a_script(chat: Callable[..., tuple[int, str, str]]) -> None:
    code, output, errors = chat("[mock=500] Hello?")
    assert code == 1
    assert "Asha: Sorry, I could not answer that just now." in output
    assert errors == "error: No answer to '[mock=500] Hello?': the model gave no answer.\n"


def test_a_bot_that_is_let_answer_again_does(chat: Callable[..., tuple[int, str, str]]) -> None:
    code, output, _ = chat("agent", "/resume", "Hello?")
    assert code == 0
    assert "(Asha answers again)" in output
    assert STORY in output


def test_a_voice_note_is_answered_by_one(
    chat: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, output, _ = chat("/voice", bot="Ravi")
    assert code == 0
    seconds, path = re.findall(r"Ravi: \[voice note, ([0-9.]+) s\] (\S+\.ogg)", output)[0]
    assert float(seconds) > 1
    assert Path(path).read_bytes().startswith(b"OggS")
    assert "(heard: " in output


def test_a_bot_without_a_number_gets_one(gateway: Launched, chat: Callable[..., tuple[int, str, str]]) -> None:
    door = Door(gateway.run["root_url"], gateway.run["api_key"])
    door.post("/api/v1/bots", {"type": "whatsapp", "name": "Tara", "system_prompt": "You sell books."})
    for _ in range(2):
        code, output, _ = chat("Hello!", bot="tara")
        assert code == 0
        assert f"Tara: {STORY}" in output
    numbers = door.get("/api/v1/whatsapp/numbers")["data"]
    assert [number["state"] for number in numbers if number["name"] == "Tara on trial"] == ["connected"]


def test_an_unknown_bot_is_told_with_those_that_there_are(chat: Callable[..., tuple[int, str, str]]) -> None:
    code, output, errors = chat("Hello!", bot="Nobody")
    assert (code, output) == (1, "")
    assert "error: There is no bot 'Nobody'. There are: Asha (whatsapp), Ravi (whatsapp_voice)" in errors


def test_what_is_piped_in_at_once_is_a_burst_with_one_answer(gateway: Launched) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", *words(gateway, "--transcript")],
        input="Hi\nwhich tea\nis strong?\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert said == ["You", "You", "You", "Asha"]


@pytest.mark.parametrize("leave", [b"\x03", b"\x04", b"/quit\r"])
def test_a_person_at_a_terminal_leaves_it_as_it_was(gateway: Launched, leave: bytes) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, *words(gateway)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        try:
            _read_until(ours, b"You: ")
            os.write(ours, b"Hello\r")
            _read_until(ours, STORY.encode())
            os.write(ours, b"half a line" + leave if leave == b"\x03" else leave)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_a_chat_ends_when_the_gateway_does(tmp_path: Path) -> None:
    with launched(tmp_path) as gateway:
        command = [sys.executable, "-m", "app", *words(gateway)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            gateway.stop(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "The simulator is gone: was ./scripts/run stopped?" in errors
    assert main(words(gateway)) == 1


def _read_until(terminal: int, wanted: bytes) -> None:
    found, latest = b"", time.monotonic() + PATIENCE_S
    while wanted not in found:
        assert time.monotonic() < latest, found
        found += os.read(terminal, 65536)
