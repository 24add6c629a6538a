"""Keys and ids: what looks like a key, what a digest is good for, and ids that sort by time."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from app.core.identity import KEY_LENGTH, Principal, is_key, key_digest, new_id, new_key

WELL_FORMED = re.compile(r"\Acm_[A-Za-z0-9]{40}\Z", re.ASCII)
LETTERS = string.ascii_letters + string.digits
#: Keys that are nearly right: wrong length, one odd character, something before or after.
NEARLY = st.builds(
    "{}cm_{}{}{}".format,
    st.sampled_from(["", "", "", " ", "\n", "CM_", "Bearer "]),
    st.text(LETTERS, min_size=KEY_LENGTH - 2, max_size=KEY_LENGTH + 1),
    st.sampled_from(["", "'", '"', "_", "-", "%", "\uff41", "\u0663", "é", "\x00", "\n", "' OR 1=1 --"]),
    st.sampled_from(["", "", "\n", " ", "\r\n", "x"]),
)


@given(st.text(max_size=60) | NEARLY | st.from_regex(r"cm_[A-Za-z0-9]{40}\Z"))
def test_only_a_well_formed_key_is_a_key(text: str) -> None:
    assert is_key(text) == (WELL_FORMED.match(text) is not None)


def test_a_new_key_is_a_key_and_no_two_are_equal() -> None:
    made = {new_key() for _ in range(1000)}
    assert len(made) == 1000
    assert all(is_key(key) for key in made)


def test_a_digest_is_no_key() -> None:
    assert not is_key(key_digest(b"secret", new_key()))


def test_a_digest_depends_on_every_character_and_on_the_secret() -> None:
    key = new_key()
    near = key[:-1] + ("A" if key[-1] != "A" else "B")
    digests = {key_digest(b"one", key), key_digest(b"two", key), key_digest(b"one", near)}
    assert len(digests) == 3
    assert key_digest(b"one", key) == key_digest(b"one", key)


@given(st.integers(0, 2**48 - 2), st.integers(1, 10**9))
def test_ids_sort_by_the_millisecond_they_were_made_in(at_ms: int, later_ms: int) -> None:
    later = min(at_ms + later_ms, 2**48 - 1)
    assert new_id("le_", at_ms * 1000 + 999) < new_id("le_", later * 1000)


def test_ids_of_one_moment_differ_and_all_have_one_length() -> None:
    made = {new_id("chatcmpl-", 1_800_000_000_000_000) for _ in range(1000)}
    assert len(made) == 1000
    assert {len(each) for each in made} == {len("chatcmpl-") + 26}
    assert all(re.fullmatch(r"chatcmpl-[0-9A-V]{26}", each) for each in made)


def test_a_principal_may_only_what_it_was_given() -> None:
    anyone = Principal("t", "k", "free", 1)
    narrow = Principal("t", "k", "free", 1, permissions=frozenset({"llm"}), allowed_models=frozenset({"kimi-k2.5"}))
    assert anyone.may("tts")
    assert anyone.may_use("anything")
    assert [narrow.may(name) for name in ("llm", "tts", "*", "")] == [True, False, False, False]
    assert [narrow.may_use(name) for name in ("kimi-k2.5", "kimi-k2.5-fast")] == [True, False]
