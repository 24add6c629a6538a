"""What an upstream says of a stop sequence reaches the Messages surface, and chat's clients see nothing of it."""

from __future__ import annotations

import msgspec
import pytest

from app.core.chat_stream import ChatWriter
from app.core.deltas import Usage
from app.core.messages_stream import MessageFold, Opening
from app.core.normalise import Normaliser
from tests.core.streams import chunk


def finish(reason: str, **said: object) -> bytes:
    """A last chunk: its finish and what else the server says of it."""
    body = msgspec.json.decode(chunk({}, finish=reason))
    body["choices"][0] |= said
    return msgspec.json.encode(body)


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (finish("stop", stop_reason="END"), ("stop_sequence", "END")),
        (finish("stop", stop_reason=128009), ("end_turn", None)),
        (finish("stop", stop_reason="eos"), ("end_turn", None)),
        (finish("stop", native_finish_reason="stop_sequence"), ("stop_sequence", None)),
        (finish("stop_sequence"), ("stop_sequence", None)),
        (finish("stop", native_finish_reason="end_turn"), ("end_turn", None)),
        (finish("length", stop_reason="END"), ("max_tokens", None)),
    ],
)
def test_each_upstreams_word_of_a_stop_sequence_is_understood(last: bytes, wanted: tuple[str, str | None]) -> None:
    normaliser = Normaliser()
    fold = MessageFold(Opening("msg_1", "m", 1, "req_1", stop_sequences=("END", "HALT")))
    chat = ChatWriter("c", 1, "m", 1, include_usage=False, logprobs=False)
    fold.write(normaliser.feed(chunk({"content": "the"})))
    ending = normaliser.feed(last) + normaliser.close()
    fold.write(ending)
    assert chat.write(ending) == b""
    message = msgspec.json.decode(fold.whole(normaliser.finishes, Usage()))
    assert (message["stop_reason"], message["stop_sequence"]) == wanted
    assert message["content"] == [{"type": "text", "text": "the"}]
