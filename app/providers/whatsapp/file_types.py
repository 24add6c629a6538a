"""What a user's file is, by its first bytes, and whether that is what it was said to be. Pure."""

from __future__ import annotations

from typing import Final, Literal

from app.core.image_history import UNKNOWN, media_type_of
from app.core.recordings import HEAD_BYTES, MIME, sniff
from app.providers.whatsapp.line import File, MediaUnavailable

Class = Literal["image", "audio", "video", "document"]
#: Containers that hold sound alone as well as pictures: which of the two is the sender's word.
EITHER: Final = frozenset({"audio/mp4", "audio/webm"})
#: Files that always begin in the same way. Anything else under such a name is not one.
PLAIN: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "audio/ogg", "audio/amr"})


def checked_file(data: bytes, declared: str) -> File:
    """The file under the type that it has. Raises MediaUnavailable when it is empty, or of another class than it was
    said to be, such as a page where there should be an image.
    """
    if not data:
        raise MediaUnavailable("The file is empty.")
    said = declared.partition(";")[0].strip().lower()
    seen = seen_type(data)
    if not said or said == UNKNOWN:
        return File(data, seen or UNKNOWN)
    if seen in EITHER and class_of(said) in ("audio", "video"):
        return File(data, said)
    if (seen is None and said in PLAIN) or (seen is not None and class_of(seen) != class_of(said)):
        raise MediaUnavailable(f"The file is not what it was said to be: {class_of(said)}.")
    return File(data, seen or said)


def class_of(media_type: str) -> Class:
    """`application/pdf` and whatever else has no class of its own is a document."""
    match media_type.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
    return "audio" if media_type == "application/ogg" else "document"


def seen_type(data: bytes) -> str | None:
    """The media type that the first bytes show, None for what is not known here."""
    image = media_type_of(data)
    if image != UNKNOWN:
        return image
    if data.startswith(b"%PDF-"):
        return "application/pdf"
    if data.startswith(b"#!AMR"):
        return "audio/amr"
    sound = sniff(data[:HEAD_BYTES])
    return None if sound is None else MIME[sound]
