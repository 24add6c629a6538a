"""Addresses, names, phone numbers and passwords: what is taken, what it becomes, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.core.accounts import read_email, read_name, read_phone
from app.core.errors import Problem
from app.core.passwords import COMMON, check_password


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("jo@acme.example", "jo@acme.example"),
        ("  Jo.Doe+x@ACME.Example\n", "jo.doe+x@acme.example"),
        ("ASHA@उदाहरण.भारत", "asha@उदाहरण.भारत"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_an_address_is_trimmed_and_case_folded(text: str, email: str) -> None:
    assert read_email(text) == email


@pytest.mark.parametrize(
    "text", ["", "jo", "@acme.example", "jo@", "a@b@c", "jo doe@acme.example", "jo@acme\0.example", "ß" * 130 + "@a.b"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert refused(lambda: read_email(text)) == ("invalid_value", "email")


def test_a_name_keeps_its_letters_and_single_blanks() -> None:
    assert read_name("  Asha \t  Rao\n", "full_name") == "Asha Rao"
    assert read_name("क्‍ष & Söhne", "organisation") == "क्‍ष & Söhne"


@pytest.mark.parametrize("text", ["", " \t\n", "a\0b", "\x1b[31mred"])
def test_a_name_without_letters_or_with_control_characters_is_refused(text: str) -> None:
    assert refused(lambda: read_name(text, "organisation")) == ("invalid_value", "organisation")


@pytest.mark.parametrize("text", ["+91 98765 43210", "080-1234 (5)", "", "  +49 30 123.456 "])
def test_a_phone_number_is_taken_as_written(text: str) -> None:
    assert read_phone(text) == text.strip()


@pytest.mark.parametrize("text", ["call me", "+91", "12\n34567", "+" + "1" * 40])
def test_what_is_no_phone_number_is_refused(text: str) -> None:
    assert refused(lambda: read_phone(text)) == ("invalid_value", "phone_number")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("Jo@Acme.Example", "e-mail"),
        ("Password123", "commonest"),
        ("1234567890 ", "commonest"),
        ("aaaaaaaaaaaaaaaa", "different"),
        ("abababababab", "different"),
    ],
)
def test_a_password_that_others_would_guess_is_refused_with_the_reason(password: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as caught:
        check_password(password, "jo@acme.example")
    assert caught.value.param == "password"
    assert password not in caught.value.message


def test_a_password_of_a_few_words_passes() -> None:
    check_password("correct horse battery", "jo@acme.example")


def test_every_common_password_is_long_enough_to_be_tried_and_written_as_it_is_compared() -> None:
    assert {each for each in COMMON if len(each) < 10 or each != each.casefold()} == set()


def refused(act: Callable[[], object]) -> tuple[str, str | None]:
    with pytest.raises(Problem) as caught:
        act()
    return caught.value.code, caught.value.param
