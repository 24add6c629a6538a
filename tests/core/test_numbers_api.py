"""Secrets of numbers as they come back from whoever was shown them, and what each provider's numbers need."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.numbers import Secrets, mask
from app.core.numbers_api import (
    NewNumber,
    NumberChange,
    changed_secrets,
    check_fields,
    check_whole,
    given,
)

VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64)
STORED = Secrets(access_token="EAAG-a-long-access-token", app_secret="0123456789abcdef0123", verify_token="short")


@examples(VISIBLE, VISIBLE)
def test_a_secret_that_comes_back_as_it_was_shown_is_the_one_that_is_kept(token: str, secret: str) -> None:
    stored = Secrets(access_token=token, app_secret=secret)
    back = {"access_token": mask(token), "app_secret": mask(secret)}
    assert changed_secrets(stored, back) == stored


@examples(VISIBLE.filter(bool))
def test_a_secret_that_is_sent_whole_is_kept_whole(secret: str) -> None:
    assert changed_secrets(STORED, {"verify_token": secret}).verify_token == secret


@examples(st.text(min_size=1, max_size=64).filter(lambda text: not text.isascii() or not text.isprintable()))
def test_what_could_break_a_header_is_no_secret(secret: str) -> None:
    with pytest.raises(Problem) as refused:
        changed_secrets(STORED, {"access_token": secret})
    assert refused.value.param == "access_token"


def test_a_mask_of_another_secret_is_refused() -> None:
    with pytest.raises(Problem, match="masked"):
        changed_secrets(STORED, {"access_token": mask("another-access-token-than-that")})


def test_a_new_app_secret_keeps_the_one_before_and_only_that() -> None:
    once = changed_secrets(STORED, {"app_secret": "second"})
    assert once.old_app_secret == STORED.app_secret
    twice = changed_secrets(once, {"app_secret": "third"})
    assert (twice.app_secret, twice.old_app_secret) == ("third", once.app_secret)
    assert changed_secrets(twice, {"old_app_secret": ""}).old_app_secret == ""


@pytest.mark.parametrize("value", ["thesecond", STORED.app_secret])
def test_an_app_secret_that_is_dropped_or_the_same_leaves_none_behind(value: str) -> None:
    assert changed_secrets(STORED, {"app_secret": ""}).old_app_secret == ""
    same = changed_secrets(STORED, {"app_secret": STORED.app_secret})
    assert same == STORED
    with pytest.raises(Problem):
        changed_secrets(STORED, {"old_app_secret": value})


def test_left_out_is_not_null() -> None:
    change = msgspec.convert({"bot_id": None}, NumberChange)
    assert given(change) == {"bot_id": None}


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"provider": "meta", "phone_number_id": "1"}, "access_token"),
        ({"provider": "meta", "access_token": "a"}, "phone_number_id"),
        ({"provider": "twilio", "phone_number": "+14155238886", "auth_token": "a"}, "account_sid"),
        ({"provider": "twilio", "account_sid": "AC1", "auth_token": "a"}, "phone_number"),
    ],
)
def test_a_number_that_nothing_could_be_sent_from_is_refused(fields: dict[str, str], missing: str) -> None:
    new = msgspec.convert(fields, NewNumber)
    with pytest.raises(Problem) as refused:
        check_whole(new.provider, given(new))
    assert refused.value.param == missing


def test_a_field_of_the_other_provider_is_refused_by_name() -> None:
    with pytest.raises(Problem) as refused:
        check_fields("twilio", {"phone_number": "+14155238886", "app_secret": "a"})
    assert refused.value.param == "app_secret"
