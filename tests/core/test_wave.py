"""WAV that is cut, joined and made without a length."""

from __future__ import annotations

from io import BytesIO

import pytest

from app.core.wave import WaveJoiner, pcm_header, quietest, read_wave
from scripts.simulator import sound


def test_a_header_reads_back_as_what_it_was_made_for() -> None:
    wave = read_wave(BytesIO(pcm_header(22050, 2, 24, 600) + bytes(600)), 644)
    assert wave is not None
    assert (wave.rate, wave.channels, wave.bits, wave.start, wave.size) == (22050, 2, 24, 44, 600)


def test_a_size_that_is_a_lie_ends_with_the_file() -> None:
    wave = read_wave(BytesIO(pcm_header(8000, size=10**9) + bytes(161)), 44 + 161)
    assert wave is not None
    assert (wave.size, wave.length_ms) == (160, 10)


def test_a_cut_is_made_where_it_is_quietest() -> None:
    loud, pause = sound.pcm(1000, 8000), bytes(1600)
    wave = read_wave(BytesIO(pcm_header(8000)), 44)
    assert wave is not None
    at = quietest(loud + pause + loud, wave)
    assert len(loud) <= at < len(loud) + len(pause)
    assert at % wave.block == 0


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_several_files_become_one_of_unknown_length(step: int) -> None:
    joiner = WaveJoiner()
    out = b""
    for part in (sound.wav(50, 8000), sound.wav(30, 8000)):
        joiner.begin()
        out += b"".join(joiner.feed(part[at : at + step]) for at in range(0, len(part), step))
    assert out == pcm_header(8000) + sound.pcm(50, 8000) + sound.pcm(30, 8000)


def test_what_is_no_wav_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="WAV"):
        WaveJoiner().feed(b"ID3" + bytes(100))
