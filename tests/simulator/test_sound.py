"""Sound of the right length in every format, as an independent reader measures it."""

from __future__ import annotations

import io

import pytest
from tinytag import TinyTag

from scripts.simulator.sound import MEDIA, SOUNDS, length_ms, mp3, opus, pcm, wav


@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "flac"])
@pytest.mark.parametrize("ms", [200, 4000, 61_000])
def test_a_file_is_as_long_as_was_asked_for(form: str, ms: int) -> None:
    tag = TinyTag.get(file_obj=io.BytesIO(SOUNDS[form](ms, 24000)), filename=f"a.{form}")
    assert tag.duration == pytest.approx(ms / 1000, rel=0.02, abs=0.03)


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_bare_samples_are_two_bytes_each_and_no_silence(rate: int) -> None:
    sound = pcm(250, rate)
    assert len(sound) == 2 * 250 * rate // 1000
    assert sound.count(0) < len(sound) / 2


def test_frames_of_aac_say_how_long_they_are() -> None:
    sound, at, frames = SOUNDS["aac"](2000, 24000), 0, 0
    while at < len(sound):
        assert sound[at : at + 2] == b"\xff\xf1"
        at += (sound[at + 3] & 3) << 11 | sound[at + 4] << 3 | sound[at + 5] >> 5
        frames += 1
    assert at == len(sound)
    assert frames * 1024 / 24000 == pytest.approx(2.0, abs=0.03)


def test_only_the_last_page_of_an_ogg_is_marked_as_such() -> None:
    pages = opus(3000).split(b"OggS\0")[1:]
    assert [page[0] & 4 for page in pages] == [0] * (len(pages) - 1) + [4]
    assert [int.from_bytes(page[13:17], "little") for page in pages] == list(range(len(pages)))


def test_the_length_of_a_plain_wav_is_exact_and_that_of_anything_else_a_guess() -> None:
    assert [length_ms(wav(ms)) for ms in (1, 250, 29_999)] == [1, 250, 29_999]
    assert length_ms(wav(1000) + b"[mock=500]") == 1000
    assert length_ms(wav(1000)[:-24000]) == 500
    assert length_ms(mp3(1000)) == len(mp3(1000)) // 4


def test_every_format_has_a_media_type() -> None:
    assert MEDIA.keys() == SOUNDS.keys()
