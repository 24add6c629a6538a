"""A form is the same in whatever pieces it arrives, and what is none is refused with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.multipart import FIELDS_CAP, MOST_PARTS, Form

TYPE = "multipart/form-data; boundary=xx"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename else ""
    return f'--xx\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


def read(body: bytes, step: int | None = None, content_type: str = TYPE) -> tuple[dict[str, list[str]], bytes]:
    form = Form(content_type)
    file = b""
    for at in range(0, len(body), step or len(body) or 1):
        file += b"".join(form.feed(body[at : at + (step or len(body))]))
    form.finish()
    return form.fields, file


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"x", b"\r\n--x", b"A"]), max_size=30), st.integers(1, 9))
def test_the_file_comes_out_as_it_went_in_however_it_is_cut(pieces: list[bytes], step: int) -> None:
    file = b"".join(pieces)
    if b"\r\n--xx" in b"\r\n" + file:
        return
    body = part("model", b"whisper") + part("file", file, "a.wav") + b"--xx--\r\n"
    assert read(body, step) == ({"model": ["whisper"]}, file)


def test_the_same_form_has_the_same_parts_in_whatever_order_its_fields_come() -> None:
    fields = [part("model", b"whisper"), part("g[]", b"word") + part("g[]", b"segment")]
    file, end = part("file", b"sound", "a.wav"), b"--xx--\r\n"
    forms = [b"".join((*fields, file, end)), b"".join((file, *fields[::-1], end)), part("g[]", b"word") + file + end]
    one, same, other = map(parts, [*forms[:2], forms[2]])
    assert one == same != other
    renamed = parts(b"".join((*fields, part("file", b"sound", "b.wav"), end)))
    assert renamed != one


def parts(body: bytes) -> tuple[bytes, ...]:
    form = Form(TYPE)
    form.feed(body)
    return form.parts()


def test_fields_may_come_after_the_file_and_more_than_once() -> None:
    body = part("file", b"sound", "a.wav") + part("g[]", b"word") + part("g[]", b"segment") + b"--xx--\r\n"
    assert read(body) == ({"g[]": ["word", "segment"]}, b"sound")


def test_a_quoted_boundary_is_understood() -> None:
    assert read(part("file", b"s", "a") + b"--xx--\r\n", content_type='multipart/form-data; boundary="xx"')[1] == b"s"


GOOD = part("file", b"sound", "a.wav")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "invalid_request_error", "incomplete"),
        (GOOD, "invalid_request_error", "incomplete"),
        (b"hello", "invalid_request_error", "broken"),
        (part("model", b"\xff") + b"--xx--\r\n", "invalid_request_error", "broken"),
        (part("model", b"a" * (FIELDS_CAP + 1)) + b"--xx--\r\n", "invalid_request_error", "too large"),
        (part("a", b"") * (MOST_PARTS + 1) + b"--xx--\r\n", "invalid_request_error", "too many"),
        (part("model", b"whisper") + b"--xx--\r\n", "missing_required_parameter", "file is required"),
        (GOOD + GOOD + b"--xx--\r\n", "invalid_value", "one file"),
        (part("audio", b"sound", "a.wav") + b"--xx--\r\n", "invalid_value", "field `file`"),
    ],
)
def test_a_bad_form_is_refused(body: bytes, code: str, words: str) -> None:
    with pytest.raises(Problem) as refused:
        read(body)
    assert refused.value.code == code
    assert words in refused.value.message


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 99]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(Problem, match="multipart"):
        Form(content_type)
