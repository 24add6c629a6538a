"""`python -m app chat`: a terminal that is the phone of somebody who writes to a WhatsApp bot."""

from __future__ import annotations

import argparse
import math
import re
import signal
from functools import partial
from pathlib import Path
from typing import Final

import trio

from app.commands import Mendable, run_async
from scripts.chatting.chat import Chat
from scripts.chatting.finding import find_partner, find_place
from scripts.chatting.orders import HELP
from scripts.chatting.page import YOU, Page
from scripts.chatting.talk import Talk
from scripts.chatting.terminal import Terminal, open_terminal

DESCRIPTION = """\
Write to a WhatsApp bot from this terminal, as if it were a phone.

Every message goes the whole way: the simulator, in Meta's place, posts a signed webhook to the gateway; it is written
down, waits for more of the same burst, and is answered by the bot's model on the bot's credits; the answer comes back
through the simulator's Graph API. Needs a gateway that ./scripts/run has started with its simulator. A bot without a
number at the simulator is given one.
"""
EPILOG = f"""\
what can be typed, and given to --message:
{HELP}
The simulated model tells a story whatever it is asked; [tool=reply_buttons] in a message makes it offer buttons, and
[tool=handoff] hand over. `python -m scripts.simulator --help` lists the other cues.

examples:
  python -m app chat --bot Asha
  python -m app chat --bot Asha --message "Do you have green tea?" --message agent
  printf 'hi\\nwhich tea is strong?\\n' | python -m app chat --bot Asha --transcript

With --message the exit code is 0 when every message was answered, 1 when one was not, and the reason is printed.
"""
#: Nobody has such a number.
PHONE: Final = "+15550199000"
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
ROOT: Final = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--bot", required=True, metavar="NAME", help="the bot's name or id")
    parser.add_argument("--data", type=Path, default=ROOT / "data", metavar="DIR", help="as given to ./scripts/run")
    parser.add_argument(
        "--as", dest="phone", type=phone, default=PHONE, metavar="PHONE", help="who writes (default %(default)s)"
    )
    parser.add_argument("--name", default="", metavar="NAME", help="the name in that user's WhatsApp profile")
    parser.add_argument(
        "--message", action="append", metavar="TEXT", help="send this, print the answer, then the next; then end"
    )
    parser.add_argument(
        "--wait", type=seconds, default=60.0, metavar="SECONDS", help="for the answer to a --message (default 60)"
    )
    parser.add_argument("--transcript", action="store_true", help="print what was said and nothing beside it")


def phone(text: str) -> str:
    """A phone in E.164; for an ArgumentParser."""
    bare = re.sub(r"[ ().-]", "", text)
    if not _PHONE.fullmatch(bare):
        raise argparse.ArgumentTypeError(f"{text!r} is no phone number: write it as +919876543210")
    return bare


def seconds(text: str) -> float:
    """A time to wait; for an ArgumentParser."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 when all went well, 1 when a --message was not answered, 130 when that was interrupted."""
    return run_async(partial(_run, options))


async def _run(options: argparse.Namespace) -> int:
    code = 130 if options.message else 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, open_terminal(f"{YOU}: ") as terminal:
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(leave)
            code = await _chat(options, terminal)
            nursery.cancel_scope.cancel()
    return code


async def _chat(options: argparse.Namespace, terminal: Terminal) -> int:
    place = find_place(options.data)
    partner = await trio.to_thread.run_sync(find_partner, place, options.bot, abandon_on_cancel=True)
    if partner.phone == options.phone:
        raise Mendable(f"{partner.phone} is the bot's own number: choose another with --as.")
    page = Page(terminal, partner.name, is_bare=options.transcript)
    talk = Talk(place, partner, options.phone, options.name, page.show)
    chat = Chat(terminal, page, talk, wait_s=options.wait)
    page.head(partner, place.gateway.url, options.phone)
    page.note(await talk.begin())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk.run_receiver)
        if options.message:
            await chat.run_script(options.message)
        else:
            await chat.run()
        nursery.cancel_scope.cancel()
    return 0
