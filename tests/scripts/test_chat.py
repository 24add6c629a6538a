"""The terminal chat without a gateway: what a line means, what is shown, when nothing more is awaited."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.__main__ import main
from app.core.bot_config import KNOWN, check_config
from app.core.bots import NewBot
from app.core.decode import convert
from app.core.numbers_api import NewNumber
from scripts.chat import phone, seconds
from scripts.chatting.connecting import is_simulated, new_number
from scripts.chatting.finding import NobodyThere, find_place
from scripts.chatting.orders import JAIPUR, Letter, Mistyped, Offer, read_line
from scripts.chatting.page import folded, speech
from scripts.chatting.showing import Screen, Shown
from scripts.chatting.waiting import REASONS, find_conversation, look
from scripts.launching.demo_bots import read_bots
from scripts.simulator.media import PNG
from scripts.simulator.sound import opus

TEAS = Offer("wamid.1", "button", [("choice:1", "Assam"), ("choice:2", "Kahwa")])


def letter(line: str, offer: Offer | None = None) -> Letter:
    found = read_line(line, offer)
    assert isinstance(found, Letter)
    return found


def test_a_line_is_a_text() -> None:
    assert letter(" 2 packets, please ", TEAS).saying == {"type": "text", "text": "2 packets, please"}


def test_a_number_taps_the_choice_that_is_shown() -> None:
    tapped = letter("2", TEAS)
    assert tapped.shown == "[2] Kahwa"
    assert tapped.saying == {"type": "button", "choice_id": "choice:2", "text": "Kahwa", "reply_to": "wamid.1"}


@pytest.mark.parametrize(("line", "offer"), [("2", None), ("3", TEAS), ("0", TEAS), ("-1", TEAS), ("²", TEAS)])
def test_a_number_that_is_no_choice_is_a_text(line: str, offer: Offer | None) -> None:
    assert letter(line, offer).saying == {"type": "text", "text": line}


@pytest.mark.parametrize(
    ("line", "word"), [("", "nothing"), ("  ", "nothing"), ("/quit", "quit"), ("/help", "help"), ("/resume", "resume")]
)
def test_some_lines_are_for_the_chat_itself(line: str, word: str) -> None:
    assert read_line(line) == word


def test_an_image_goes_with_its_caption(tmp_path: Path) -> None:
    (tmp_path / "my tea.jpg").write_bytes(PNG)
    sent = letter(f"/image '{tmp_path}/my tea.jpg' which one is this?")
    assert sent.shown == "[image: my tea.jpg] which one is this?"
    assert sent.saying["media_type"] == "image/png", "what it is, not what it is called"
    assert base64.b64decode(sent.saying["data"]) == PNG
    assert sent.saying["text"] == "which one is this?"


@pytest.mark.parametrize(
    ("name", "data", "kind", "media_type"),
    [("a.bin", opus(100), "voice", "audio/ogg; codecs=opus"), ("a.mp3", b"\xff\xfb", "audio", "audio/mpeg")],
)
def test_a_recording_is_a_voice_note_where_it_can_be_one(
    tmp_path: Path, name: str, data: bytes, kind: str, media_type: str
) -> None:
    (tmp_path / name).write_bytes(data)
    saying = letter(f"/voice {tmp_path / name}").saying
    assert (saying["type"], saying["media_type"]) == (kind, media_type)


@pytest.mark.parametrize(("line", "kind"), [("/image", "image"), ("/voice ", "voice")])
def test_without_a_file_one_is_made_up(line: str, kind: str) -> None:
    assert letter(line).saying == {"type": kind}


@pytest.mark.parametrize("line", ["/location", f"/location {JAIPUR}", "/location 26.9239 , 75.8267"])
def test_a_place_is_sent_in_degrees(line: str) -> None:
    assert letter(line).saying == {"type": "location", "latitude": 26.9239, "longitude": 75.8267}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/sing", "There is no /sing here"),
        ("/image /no/such/file.png", "cannot be read: No such file"),
        ("/image EMPTY", "0 bytes"),
        ("/image TEXT", "neither a JPEG nor a PNG"),
        ("/voice TEXT", "no recording"),
        ("/location Jaipur", "no place"),
        ("/location 91,0", "no place"),
    ],
)
def test_what_cannot_be_sent_is_told(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "EMPTY").write_bytes(b"")
    (tmp_path / "TEXT").write_text("words")
    with pytest.raises(Mistyped, match=told):
        read_line(line.replace("EMPTY", f"{tmp_path}/EMPTY").replace("TEXT", f"{tmp_path}/TEXT"))


@given(st.text())
def test_any_line_is_something(line: str) -> None:
    try:
        found = read_line(line, TEAS)
    except Mistyped:
        return
    assert found in ("nothing", "quit", "help", "resume") or isinstance(found, Letter)


def screen(tmp_path: Path, files: Mapping[str, tuple[str, bytes]] | None = None) -> Screen:
    kept = files or {}

    def fetch(file_id: str) -> dict[str, str]:
        media_type, data = kept[file_id]
        return {"media_type": media_type, "data": base64.b64encode(data).decode()}

    return Screen("Asha", fetch, lambda: tmp_path)


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"n": 1, "id": "wamid.9", "type": kind, "text": "", **fields}


def buttons(*titles: str, kind: str = "button") -> dict[str, Any]:
    choices = [{"id": f"c{number}", "title": title} for number, title in enumerate(titles)]
    return item("interactive", text="Which?", choices=choices, body={"type": kind})


def test_a_text_keeps_its_lines_and_moves_no_cursor(tmp_path: Path) -> None:
    shown = screen(tmp_path).show(item("text", text="नमस्ते\r\n\x1b[2Jtwo\x07\x9b"))
    assert shown == Shown(["नमस्ते", "[2Jtwo"])


def test_ticks_and_typing_stand_beside_what_is_said_and_typing_only_once(tmp_path: Path) -> None:
    on = screen(tmp_path)
    kinds = ["read", "typing", "typing", "text", "typing"]
    assert [on.show(item(kind)).beside for kind in kinds] == [
        *(["✓✓ read"], ["Asha is typing…"], (), (), ["Asha is typing…"]),
    ]


def test_buttons_are_numbered_until_the_user_says_something(tmp_path: Path) -> None:
    on = screen(tmp_path)
    assert on.show(buttons("Assam", "Kahwa")).said == ["Which?", "[1] Assam   [2] Kahwa"]
    assert on.offer == Offer("wamid.9", "button", [("c0", "Assam"), ("c1", "Kahwa")])
    on.spoken()
    assert on.offer is None


def test_a_list_stands_below_one_another(tmp_path: Path) -> None:
    on = screen(tmp_path)
    assert on.show(buttons("a", "b", "c", "d", kind="list")).said == ["Which?", "[1] a", "[2] b", "[3] c", "[4] d"]
    assert on.offer is not None
    assert on.offer.kind == "list"


def test_a_voice_note_tells_its_length_and_is_a_file(tmp_path: Path) -> None:
    on = screen(tmp_path, {"../12": ("audio/ogg; codecs=opus", opus(3200))})
    shown = on.show(item("audio", media={"id": "../12", "voice": True}, body={}))
    assert shown.said == [f"[voice note, 3.2 s] {tmp_path}/12.ogg"]
    assert (tmp_path / "12.ogg").read_bytes() == opus(3200)


def test_a_file_that_lies_elsewhere_is_a_link_with_its_caption(tmp_path: Path) -> None:
    media = {"link": "https://shop.example/a.jpg"}
    shown = screen(tmp_path).show(item("image", text="Assam", media=media))
    assert shown.said == ["[image] https://shop.example/a.jpg", "Assam"]


def message(wamid: str, disposition: str | None = None, **fields: Any) -> dict[str, Any]:
    known = {"role": "user", "wamid": wamid, "disposition": disposition, "status": None, "is_transcript": False}
    return known | {"content": "..."} | fields


def conversation(**fields: Any) -> dict[str, Any]:
    return {"number_id": "n", "external_id": "+1", "ai_autoreply_enabled": True, "flag": None, **fields}


@pytest.mark.parametrize("messages", [[], [message("a", "open")], [message("b", "answered")]])
def test_a_message_waits_until_it_is_known_what_became_of_it(messages: list[dict[str, Any]]) -> None:
    seen = look(conversation(), messages, ["a"], "Asha")
    assert seen.waiting == {"a"}
    assert not seen.is_settled


@pytest.mark.parametrize(
    ("status", "settled"),
    [("making", False), ("queued", False), ("sending", False), ("accepted", True), ("failed", True)],
)
def test_an_answer_is_awaited_until_it_has_left(status: str, settled: bool) -> None:
    answer = message("b", role="assistant", status=status)
    assert look(conversation(), [answer, message("a", "answered")], ["a"], "Asha").is_settled is settled


@pytest.mark.parametrize("disposition", [*REASONS, "something new"])
def test_whatever_is_not_answered_has_a_reason(disposition: str) -> None:
    seen = look(conversation(), [message("a", disposition)], ["a"], "Asha")
    assert seen.is_settled
    assert seen.reasons["a"]
    assert "{" not in seen.reasons["a"]


def test_what_was_understood_of_a_recording_is_told() -> None:
    spoken = [message("a", "answered", content="kahwa?", is_transcript=True), message("b", "answered")]
    assert look(conversation(), spoken, ["a", "b"], "Ravi").heard == {"a": "kahwa?"}


def test_the_users_own_conversation_at_this_number_is_found() -> None:
    page = {"data": [conversation(external_id="+2"), conversation(number_id="m"), conversation(flag="mine")]}
    found = find_conversation(page, "n", "+1")
    assert found is not None
    assert found["flag"] == "mine"
    assert find_conversation(page, "n", "+3") is None


def test_speech_stands_below_one_another() -> None:
    assert speech("You", ["one", "two"], 4) == ["You:  one", "      two"]
    assert speech("Asha", ["one two three four five six"], 4, 26) == ["Asha: one two three four", "      five six"]


def test_an_address_is_never_cut() -> None:
    link = "https://shop.example/" + "a" * 80
    assert folded(f"see {link} now", 30) == ["see", link, "now"]


@pytest.mark.parametrize("text", ["+919876543210", "+91 98765 43210", "+1 (555) 019-9000"])
def test_a_phone_may_be_written_as_people_do(text: str) -> None:
    assert phone(text).removeprefix("+").isdecimal()


@pytest.mark.parametrize("text", ["9876543210", "+0123456789", "+12", "Asha", ""])
def test_what_is_no_phone_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no phone number"):
        phone(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a number of seconds"):
        seconds(text)


def test_without_a_gateway_the_chat_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--data", str(tmp_path), "--bot", "Asha"]) == 1
    assert "start ./scripts/run first" in capsys.readouterr().err


def test_a_gateway_that_was_killed_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = "http://127.0.0.1:9"
    (tmp_path / "run.json").write_text(json.dumps({"root_url": gone, "api_key": "cm_", "simulator_url": gone}))
    assert main(["chat", "--data", str(tmp_path), "--bot", "Asha", "--message", "hi"]) == 1
    assert f"error: {gone} does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ('{"root_url": "http://g", "api_key": "cm_", "simulator_url": null}', "without the simulator"),
        ("{}", "cannot be read"),
        ("[]", "cannot be read"),
        ("half a fi", "cannot be read"),
    ],
)
def test_a_gateway_without_a_simulator_has_no_phones(tmp_path: Path, run: str, told: str) -> None:
    (tmp_path / "run.json").write_text(run)
    with pytest.raises(NobodyThere, match=told):
        find_place(tmp_path)


def test_the_demos_bots_are_such_as_the_platform_api_takes() -> None:
    demos = read_bots()
    assert [(demo.name, demo.bot["type"]) for demo in demos] == [("Asha", "whatsapp"), ("Ravi", "whatsapp_voice")]
    for demo in demos:
        bot: NewBot = convert(demo.bot, NewBot)
        assert bot.config.keys() <= KNOWN
        check_config(bot.config)
        assert is_simulated({"phone_number_id": demo.number.account})


def test_a_made_up_number_is_one_that_the_platform_api_takes_and_nobody_has() -> None:
    new = new_number("Tara on trial")
    body = {"provider": "meta", "phone_number_id": new.account, "waba_id": new.business, "access_token": "t"}
    assert convert(body, NewNumber).phone_number_id == new.account
    assert is_simulated({"phone_number_id": new.account})
    assert phone(new.phone).startswith("+1555")
    assert not is_simulated({"phone_number_id": "106540352242922"})
