"""The bench of the surfaces: events are counted as each surface writes them, and the table compares with chat."""

from __future__ import annotations

import pytest

from scripts.bench.responses import MESSAGES, RESPONSES, TypedReader
from scripts.bench.surfaces import SURFACES, Surface, SurfaceMeasure, body_for, render

STREAMS = {
    RESPONSES: (
        b'event: response.created\ndata: {"type":"response.created"}\n\n'
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"b"}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    ),
    MESSAGES: (
        b'event: message_start\ndata: {"type":"message_start"}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"b"}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    ),
}


@pytest.mark.parametrize("names", STREAMS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_tokens_are_counted_however_the_stream_is_cut(names: tuple[str, str], size: int) -> None:
    stream, reader = STREAMS[names], TypedReader(*names)
    tokens = sum(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))
    assert (tokens, reader.done, reader.error) == (2, True, None)


@pytest.mark.parametrize("names", STREAMS)
def test_a_stream_without_its_end_is_not_done(names: tuple[str, str]) -> None:
    reader = TypedReader(*names)
    reader.feed(STREAMS[names][:-20])
    assert not reader.done


@pytest.mark.parametrize("data", [b'{"type":"error","error":{}}', b'{"type":"response.failed"}', b"not json"])
def test_an_error_in_a_stream_is_kept(data: bytes) -> None:
    reader = TypedReader(*RESPONSES)
    reader.feed(b"data: " + data + b"\n\n")
    assert reader.error


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_asks_the_same(surface: Surface) -> None:
    body = body_for(surface, "kimi", "a story", stream=True)
    assert (body["model"], body["stream"], "a story" in str(body)) == ("kimi", True, True)


def test_the_table_compares_each_surface_with_chat() -> None:
    costs: dict[Surface, float] = {"chat": 100.0, "responses": 150.0, "messages": 80.0}
    measures = [
        SurfaceMeasure(surface=surface, kind="streams", round=1, calls=1, errors=0, units=9, cpu_us=cost, p50_ms=1.0)
        for surface, cost in costs.items()
    ]
    lines = [line.split() for line in render(measures).splitlines() if line.startswith("streams")]
    assert [line[4] for line in lines] == ["1.00", "1.50", "0.800"]
