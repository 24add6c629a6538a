"""The client's errors: the table of the contract, one envelope, honest retry advice."""

from __future__ import annotations

import json

import pytest

from app.core.errors import CODES, NEVER_RETRY, Problem, UpstreamError

#: spec.md section 4.2: what each status carries.
BY_STATUS = {
    400: "invalid_request_error unsupported_image_input unsupported_parameter unsupported_tool_type "
    "voice_agent_only_model context_length_exceeded content_policy_violation invalid_value invalid_type "
    "missing_required_parameter",
    401: "invalid_api_key api_key_expired token_expired session_required",
    402: "insufficient_credits budget_exceeded",
    403: "permission_denied domain_not_allowed search_provider_not_allowed model_not_available model_not_allowed "
    "account_inactive csrf_failed role_required",
    404: "model_not_found not_found",
    405: "method_not_allowed",
    409: "conflict idempotency_key_reused idempotency_in_progress",
    413: "request_too_large",
    422: "window_closed",
    429: "rate_limit_exceeded quota_exceeded too_many_concurrent_requests credits_held",
    500: "internal_error",
    501: "not_implemented",
    502: "upstream_error",
    503: "storage_unavailable provider_error model_under_maintenance",
}
OTHER_TYPES = {
    "insufficient_credits": "insufficient_quota",
    "budget_exceeded": "insufficient_quota",
    "quota_exceeded": "insufficient_quota",
    "rate_limit_exceeded": "rate_limit_error",
    "too_many_concurrent_requests": "rate_limit_error",
    "credits_held": "rate_limit_error",
}


def test_the_table_is_that_of_the_contract() -> None:
    wanted = {
        code: (status, OTHER_TYPES.get(code, "server_error" if status >= 500 else "invalid_request_error"))
        for status, codes in BY_STATUS.items()
        for code in codes.split()
    }
    assert wanted == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_has_the_four_keys_and_its_status(code: str) -> None:
    problem = Problem(code, "Say it.", "messages")
    error = json.loads(problem.body())["error"]
    assert error == {"message": "Say it.", "type": problem.type, "param": "messages", "code": code}
    assert (problem.status, problem.type) == CODES[code]


def test_a_param_that_does_not_apply_is_null() -> None:
    assert json.loads(Problem("not_found", "Gone.").body())["error"]["param"] is None


@pytest.mark.parametrize(("wait", "header"), [(0.0, "1"), (0.001, "1"), (1.0, "1"), (1.2, "2"), (59.99, "60")])
def test_retry_after_is_whole_seconds_and_never_too_early(wait: float, header: str) -> None:
    assert Problem("credits_held", "", retry_after_s=wait).response_headers() == {"Retry-After": header}


def test_without_a_known_wait_there_is_no_retry_after() -> None:
    assert Problem("provider_error", "").response_headers() == {}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_retry_that_cannot_help_is_advised_against(code: str) -> None:
    advised = Problem(code, "").response_headers().get("x-should-retry")
    status = CODES[code][0]
    hopeless = status in (402, 409) or code in ("quota_exceeded", "model_under_maintenance")
    assert advised == ("false" if hopeless and code != "idempotency_in_progress" else None)


def test_a_wait_of_more_than_a_minute_is_not_for_a_client_library() -> None:
    assert "x-should-retry" not in Problem("rate_limit_exceeded", "", retry_after_s=60).response_headers()
    assert Problem("rate_limit_exceeded", "", retry_after_s=60.5).response_headers()["x-should-retry"] == "false"


def test_headers_go_out_beside_the_advice() -> None:
    problem = Problem("insufficient_credits", "", headers={"X-Credits-Balance": "0.000000"})
    assert problem.response_headers() == {"X-Credits-Balance": "0.000000", "x-should-retry": "false"}


def test_no_code_is_both_retried_and_not() -> None:
    assert "idempotency_in_progress" not in NEVER_RETRY
    assert set(CODES) >= NEVER_RETRY


def test_an_upstream_failure_becomes_a_problem_without_its_detail() -> None:
    failure = UpstreamError("upstream_error", "Try again.", param="model", retry_after_s=3, status=500, detail="secret")
    problem = failure.problem()
    assert (problem.code, problem.message, problem.param, problem.retry_after_s) == (
        *("upstream_error", "Try again.", "model", 3),
    )
    assert b"secret" not in problem.body()
