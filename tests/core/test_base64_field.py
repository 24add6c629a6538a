"""Sound in a JSON answer comes out while it comes in, whatever the pieces."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.base64_field import Base64Field

FORMS = {
    "sarvam": (b'{"request_id":"a","audios":["', b'"]}'),
    "cloudflare": (b'{"result":{"audio" : "', b'"},"success":true}'),
}


@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=50), st.integers(1, 12), st.booleans())
def test_the_bytes_come_out_whole(form: str, data: bytes, step: int, escaped: bool) -> None:
    head, tail = FORMS[form]
    text = b64encode(data).replace(b"/", b"\\/") if escaped else b64encode(data)
    body = head + text + tail
    field = Base64Field()
    out = b"".join(field.feed(body[at : at + step]) for at in range(0, len(body), step))
    assert (out, field.began, field.ended) == (data, True, True)


def test_another_answer_never_begins_and_is_kept_for_judging() -> None:
    field = Base64Field()
    assert field.feed(b'{"error":{"message":"no"}}') == b""
    assert (field.began, field.lead) == (False, b'{"error":{"message":"no"}}')


def test_an_answer_that_stops_within_its_sound_has_not_ended() -> None:
    field = Base64Field()
    assert field.feed(b'{"audio":"AAAABB') == b"\0\0\0"
    assert (field.began, field.ended) == (True, False)


def test_what_is_no_base64_is_an_error() -> None:
    with pytest.raises(ValueError, match="base64"):
        Base64Field().feed(b'{"audio":"@@@@"}')
