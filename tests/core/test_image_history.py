"""What is asked of the history of images, and what kind of file an image is."""

from __future__ import annotations

import pytest

from app.core.errors import Problem
from app.core.image_history import media_type_of, parse_history
from app.core.times import Place, iso_time, write_cursor
from scripts.simulator.media import PNG

PLACE = Place(1_794_312_000_123_456, f"img_{'0' * 26}")
TIME = Place(1_794_312_000_000_000, "")


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, (20, None)),
        ({"limit": "", "before": ""}, (20, None)),
        ({"limit": "1"}, (1, None)),
        ({"limit": "100", "before": write_cursor(PLACE)}, (100, PLACE)),
        ({"before": iso_time(TIME.at_us)}, (20, TIME)),
        ({"before": "2026-11-10T12:00:00Z"}, (20, TIME)),
        ({"before": "2026-11-10T17:30:00+05:30"}, (20, TIME)),
        ({"before": "2026-11-10T12:00"}, (20, TIME)),
        ({"before": "0001-01-01"}, (20, Place(0, ""))),
    ],
)
def test_a_page_begins_before_a_time_or_a_cursor(query: dict[str, str], page: tuple[int, Place | None]) -> None:
    assert parse_history(query) == page


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"limit": text}, "limit") for text in ("0", "101", "-1", "1.5", "x", "٣", "9" * 400, "\0")),
        *(({"before": text}, "before") for text in ("soon", "1794312000", "_", "2026-13-01", "T", "x" * 1000, "\0")),
        *(({"before": f"2026-11-10T12:00:00Z_{text}"}, "before") for text in ("x", "\0", "../..", "img_", "_")),
    ],
)
def test_anything_else_is_refused_by_name(query: dict[str, str], param: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_history(query)
    assert (caught.value.code, caught.value.param) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("image", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0 and so on", "image/jpeg"),
        (b"GIF89a and so on", "image/gif"),
        (b"RIFF\x04\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "application/octet-stream"),
        (b"<html>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_an_image_is_called_what_its_first_bytes_say(image: bytes, media_type: str) -> None:
    assert media_type_of(image) == media_type
