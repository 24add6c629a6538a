"""What a repeated request gets: every state that the first may be in, keys and fingerprints."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.idempotency import Claim, Known, fingerprint, is_kept, judge, key_digest, standing

NOW: Final = 1_000
CLAIM: Final = Claim("digest", "same", "req_2")
#: A first request that has only just claimed its key.
YOUNG: Final = Known("same", NOW + 1, NOW + 100, 0, False, "", "", 0)
CUT: Final = replace(YOUNG, call_id="chatcmpl-1", call_state="posted", charge=5)


def refusal(known: Known, claim: Claim = CLAIM, at: int = NOW) -> Problem:
    with pytest.raises(Problem) as raised:
        judge(known, claim, at)
    return raised.value


def test_a_new_key_runs() -> None:
    assert judge(None, CLAIM, NOW) == "run"


def test_what_is_answered_is_given_again() -> None:
    assert judge(replace(YOUNG, status=200, has_reply=True), CLAIM, NOW) == "replay"


def test_what_runs_is_to_be_asked_for_again_soon() -> None:
    for known in (YOUNG, replace(YOUNG, lease_us=0, call_id="chatcmpl-1", call_state="held")):
        problem = refusal(known)
        assert (problem.status, problem.code) == (409, "idempotency_in_progress")
        assert problem.response_headers() == {"Retry-After": "2"}


def test_what_was_cut_off_is_named_and_not_to_be_tried_again() -> None:
    problem = refusal(CUT)
    assert (problem.status, problem.code) == (409, "idempotency_key_reused")
    assert "chatcmpl-1 of this key was cut off" in problem.message
    assert problem.response_headers() == {"x-should-retry": "false", "X-Generation-Id": "chatcmpl-1"}


def test_what_was_too_large_to_keep_is_named_and_not_run_again() -> None:
    problem = refusal(replace(CUT, status=200))
    assert (problem.code, "chatcmpl-1 was too large" in problem.message) == ("idempotency_key_reused", True)


@pytest.mark.parametrize("state", ["voided", "expired", "posted"])
def test_a_call_that_was_free_and_gave_no_answer_leaves_its_key_free(state: str) -> None:
    assert judge(replace(CUT, call_state=state, charge=0), CLAIM, NOW) == "run"


def test_a_claim_whose_process_died_before_its_call_is_free_when_its_lease_is_over() -> None:
    assert judge(YOUNG, CLAIM, NOW + 1) == "run"


def test_a_key_is_free_again_after_its_time_unless_its_call_still_runs() -> None:
    for known in (CUT, replace(CUT, status=200, has_reply=True), YOUNG):
        assert judge(known, CLAIM, known.expires_us) == "run"
    held = replace(CUT, call_state="held")
    assert refusal(held, at=held.expires_us).code == "idempotency_in_progress"


def test_another_request_is_refused_whatever_became_of_the_first_but_a_free_end() -> None:
    other = replace(CLAIM, fingerprint="other")
    for known in (YOUNG, CUT, replace(YOUNG, status=200, has_reply=True), replace(CUT, call_state="held")):
        problem = refusal(known, other)
        assert (problem.code, "used for another request" in problem.message) == ("idempotency_key_reused", True)
    assert judge(replace(CUT, charge=0), other, NOW) == "run"


def test_no_state_lets_a_charged_call_run_again_within_the_time_of_its_key() -> None:
    states = ("held", "posted", "voided", "expired")
    for state, status, has_reply, lease in product(states, (0, 200, 400), (False, True), (0, NOW * 2)):
        known = replace(CUT, call_state=state, status=status, has_reply=has_reply, lease_us=lease)
        assert standing(known, NOW) != "free", known


@pytest.mark.parametrize("status", [200, 201, 204, 400, 403, 404, 409, 413])
def test_an_answer_is_kept(status: int) -> None:
    assert is_kept(status)


@pytest.mark.parametrize("status", [401, 402, 429, 500, 501, 502, 503, 529])
def test_an_answer_that_may_be_another_next_time_is_not_kept(status: int) -> None:
    assert not is_kept(status)


@pytest.mark.parametrize("text", ["x", "k" * 255, "a b", "~!{}", "7f6e0c1e-6d1c-4f7e-9a63-0d5b7b0f9b1d"])
def test_a_key_is_known_by_its_digest(text: str) -> None:
    assert key_digest(text) == key_digest(text) != text


@pytest.mark.parametrize("text", ["", "k" * 256, "ключ", "tab\t", "line\n", "\x00", "é", "\x7f"])
def test_a_bad_key_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(Problem) as raised:
        key_digest(text)
    assert (raised.value.status, raised.value.code) == (400, "invalid_value")
    assert raised.value.param == "Idempotency-Key"


def test_method_path_and_each_part_tell_requests_apart() -> None:
    prints = [
        fingerprint("POST", "/v1/search", b"ab"),
        fingerprint("PUT", "/v1/search", b"ab"),
        fingerprint("POST", "/v1/searc", b"hab"),
        fingerprint("POST", "/v1/search", b"a", b"b"),
        fingerprint("POST", "/v1/search", b"ab", b""),
        fingerprint("POST", "/v1/search", b"ba"),
    ]
    assert all(one != other for one, other in pairwise(sorted(prints)))


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_two_requests_have_one_fingerprint_only_if_they_are_the_same(one: list[bytes], other: list[bytes]) -> None:
    assert (fingerprint("POST", "/", *one) == fingerprint("POST", "/", *other)) == (one == other)
