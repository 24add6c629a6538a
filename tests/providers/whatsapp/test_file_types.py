"""What a file is by its first bytes, and when it is not believed."""

from __future__ import annotations

import pytest

from app.providers.whatsapp.file_types import checked_file
from app.providers.whatsapp.line import MediaUnavailable

PNG = b"\x89PNG\r\n\x1a\n rest"
JPEG = b"\xff\xd8\xff\xe0 rest"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "
OGG = b"OggS\0\x02 rest of it"
MP3 = b"ID3\x04 rest of it"
MP3_BARE = b"\xff\xfb\x90\x64 rest of it"
AAC = b"\xff\xf1\x50\x80 rest of it"
MP4 = b"\0\0\0\x20ftypisom rest"
AMR = b"#!AMR\n rest of it"
PDF = b"%PDF-1.7 rest"
PAGE = b"<!DOCTYPE html><html>"


@pytest.mark.parametrize(
    ("data", "declared", "found"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "image/jpeg", "image/png"),
        (JPEG, "image/jpeg", "image/jpeg"),
        (WEBP, "image/webp", "image/webp"),
        (b"GIF89a rest", "image/gif", "image/gif"),
        (OGG, "audio/ogg; codecs=opus", "audio/ogg"),
        (OGG, "Application/OGG", "audio/ogg"),
        (MP3, "audio/mpeg", "audio/mpeg"),
        (MP3_BARE, "audio/mpeg", "audio/mpeg"),
        (AAC, "audio/aac", "audio/aac"),
        (AMR, "audio/amr", "audio/amr"),
        (MP4, "audio/mp4", "audio/mp4"),
        (MP4, "video/mp4", "video/mp4"),
        (MP4, "video/3gpp", "video/3gpp"),
        (PDF, "application/pdf", "application/pdf"),
        (PDF, "text/plain", "application/pdf"),
        (b"a,b\n", "text/csv", "text/csv"),
        (b"PK\x03\x04", "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (b"unknown", "audio/mpeg", "audio/mpeg"),
        (PNG, "", "image/png"),
        (OGG, "application/octet-stream", "audio/ogg"),
        (b"unknown", "", "application/octet-stream"),
    ],
)
def test_a_file_has_the_type_that_its_bytes_show(data: bytes, declared: str, found: str) -> None:
    assert checked_file(data, declared).media_type == found


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        *((PAGE, "image/jpeg"), (PAGE, "audio/ogg"), (b"", "image/png"), (b"", ""), (MP4, "image/jpeg")),
        *((OGG, "image/png"), (PNG, "audio/ogg"), (PNG, "application/pdf"), (PDF, "image/png"), (AMR, "video/mp4")),
    ],
)
def test_a_file_of_another_class_is_not_taken(data: bytes, declared: str) -> None:
    with pytest.raises(MediaUnavailable):
        checked_file(data, declared)
