"""`encrypted_content`: what a model must be given back of its thoughts, in a text that clients keep and do not read.

Some models sign or encrypt their thoughts (OpenRouter's `reasoning_details`) and want them unchanged in the next turn.
The text is an envelope around these with the model's name: it goes back to no other (pains.md section 3). Nothing in it
is encrypted by us, and nothing is believed but its form.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from app.core.accumulate import folded

MARK: Final = "cm1."
#: A detail with one of these cannot be made anew from the text of the thought.
OPAQUE: Final = ("signature", "data")


class _Envelope(msgspec.Struct):
    model: str
    details: list[dict[str, Any]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Envelope).decode


def wrapped(model: str, fragments: list[Any]) -> str | None:
    """The envelope for the details of one thought; None when none of them is signed or encrypted."""
    details = folded([fragments]) if fragments else []
    if not any(isinstance(each, dict) and any(each.get(name) for name in OPAQUE) for each in details):
        return None
    return MARK + base64.b64encode(_encode({"model": model, "details": details})).decode()


def unwrapped(text: Any, model: str | None) -> list[dict[str, Any]] | None:
    """The details in an envelope of ours, for the model that they are from, by its id or the end of its slash id."""
    if not isinstance(text, str) or not text.startswith(MARK) or model is None:
        return None
    try:
        envelope = _decode(base64.b64decode(text[len(MARK) :], validate=True))
    except (ValueError, RecursionError):
        return None
    known = {envelope.model, envelope.model.rpartition("/")[2]}
    return envelope.details if model.casefold() in known else None
