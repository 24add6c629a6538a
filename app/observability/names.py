"""Every name that monitoring shows, in one place: our metrics, and the GenAI conventions, which still change.

Labels come from closed sets (routes, catalog ids, codes, ...): never a tenant, a key or free text.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

#: The label of a model or route outside the closed set: passed through, self-hosted, unknown.
OTHER: Final = "other"

FAST_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CALL_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
JOBS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Family(NamedTuple):
    """One metric as `/metrics` shows it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


REQUESTS: Final = Family(
    "callmissed_requests_total",
    "counter",
    "Requests by route and status; 499: the client left.",
    ("endpoint", "status"),
)
REQUESTS_ACTIVE: Final = Family("callmissed_requests_active", "gauge", "Requests being answered.")
REQUEST_SECONDS: Final = Family(
    "callmissed_request_duration_seconds", "histogram", "First to last byte of a request.", ("endpoint",), CALL_S
)
OVERHEAD_SECONDS: Final = Family(
    "callmissed_overhead_seconds",
    "histogram",
    "Part of a billable request that was ours: neither the provider nor the client was waited for.",
    ("endpoint",),
    FAST_S,
)
REFUSALS: Final = Family("callmissed_refusals_total", "counter", "Error answers, in-band ones too, by code.", ("code",))
CALLS: Final = Family(
    "callmissed_calls_total", "counter", "Admitted calls by how they ended.", ("endpoint", "model", "outcome")
)
CALL_SECONDS: Final = Family(
    "callmissed_call_duration_seconds", "histogram", "An admitted call, settled.", ("endpoint", "model"), CALL_S
)
FIRST_TOKEN_SECONDS: Final = Family(
    "callmissed_time_to_first_token_seconds",
    "histogram",
    "From the request to the provider's first content.",
    ("provider", "model"),
    CALL_S,
)
TOKENS: Final = Family(
    "callmissed_tokens_total",
    "counter",
    "Tokens of calls that were charged; cached is part of input, reasoning of output.",
    ("model", "direction"),
)
CREDITS: Final = Family("callmissed_credits_charged_total", "counter", "Credits charged.", ("model",))
UNCOLLECTED: Final = Family(
    "callmissed_credits_uncollected_total", "counter", "Cost above what the balance could pay: ours to bear."
)
SETTLEMENTS: Final = Family(
    "callmissed_settlements_total", "counter", "Calls by the basis of their charge.", ("basis",)
)
CANCELS: Final = Family("callmissed_cancels_total", "counter", "Calls whose client left, by when.", ("phase",))
ATTEMPTS: Final = Family(
    "callmissed_upstream_attempts_total",
    "counter",
    "Questions to a provider: ok, or whose fault it was; left: the client did not wait.",
    ("provider", "class"),
)
CLOSE_LAG_SECONDS: Final = Family(
    "callmissed_upstream_close_lag_seconds",
    "histogram",
    "From a client's leaving to the closing of its upstream connection.",
    (),
    FAST_S,
)
HEARTBEATS: Final = Family("callmissed_heartbeats_total", "counter", "Signs of life sent on silent streams.")
BLOCKED_SECONDS: Final = Family(
    "callmissed_sender_blocked_seconds_total", "counter", "Time that streams waited for clients which read slowly."
)
SDK_RETRIES: Final = Family("callmissed_sdk_retries_total", "counter", "Calls that an SDK sent as a retry of its own.")
BREAKER_OPEN: Final = Family(
    "callmissed_breaker_open", "gauge", "1 while a provider's model is not asked.", ("provider", "model")
)
CONNECTIONS: Final = Family(
    "callmissed_upstream_connections", "gauge", "Connections to a provider's host.", ("provider", "state")
)
LOOP_LAG_SECONDS: Final = Family(
    "callmissed_loop_lag_seconds", "histogram", "How late a task that is due runs.", (), FAST_S
)
QUEUE_DEPTH: Final = Family("callmissed_database_queue_depth", "gauge", "Writes that wait for the writer.")
BATCH_JOBS: Final = Family("callmissed_database_batch_jobs", "histogram", "Writes in one commit.", (), JOBS)
COMMIT_SECONDS: Final = Family("callmissed_database_commit_seconds", "histogram", "One commit.", (), FAST_S)
COMMIT_FAILURES: Final = Family("callmissed_database_commit_failures_total", "counter", "Commits that kept nothing.")
READERS_BUSY: Final = Family(
    "callmissed_database_readers_busy", "gauge", "Reads under way or waiting for a connection."
)
SETTLE_BACKLOG: Final = Family("callmissed_settle_backlog", "gauge", "Endings that wait for the database.")
SWEPT: Final = Family("callmissed_holds_swept_total", "counter", "Holds freed because their process died.")
HOLDS_OPEN: Final = Family("callmissed_holds_open", "gauge", "Open holds in the database, of all processes.")
HOLD_AGE: Final = Family("callmissed_hold_oldest_age_seconds", "gauge", "Age of the oldest open hold.")
HOLDS_OVERDUE: Final = Family("callmissed_holds_overdue", "gauge", "Open holds past their expiry.")
VIOLATIONS: Final = Family("callmissed_ledger_violations", "gauge", "Tenants whose books do not balance. Always 0.")
BOOKS_AGE: Final = Family("callmissed_books_age_seconds", "gauge", "Since the holds were counted last.")
# The channels, as the database has them for all processes.
INBOX_PENDING: Final = Family("callmissed_inbox_pending", "gauge", "Updates of channels that wait to be sorted.")
INBOX_LAG: Final = Family(
    "callmissed_inbox_lag_seconds", "gauge", "How long the oldest that could be sorted has waited."
)
DEAD_LETTERS: Final = Family(
    "callmissed_dead_letters",
    "gauge",
    "Dead letters of the last 24 h that nobody has tried again; nobody: of numbers that are not connected.",
    ("whose",),
)
LANES: Final = Family(
    "callmissed_lanes",
    "gauge",
    "Conversations to be answered: due by now, overdue by more than 5 s, running in some process.",
    ("state",),
)
SENDS: Final = Family(
    "callmissed_sends", "gauge", "Messages that go out and are not with the provider yet.", ("state",)
)
SEND_AGE: Final = Family("callmissed_send_oldest_age_seconds", "gauge", "Age of the oldest queued message.")
NUMBERS_IN_ERROR: Final = Family("callmissed_numbers_in_error", "gauge", "Numbers that their provider refuses.")
CHANNELS_AGE: Final = Family("callmissed_channels_age_seconds", "gauge", "Since the channels were counted last.")
# The channels, as one process works on them.
TURNS_RUNNING: Final = Family("callmissed_turns_running", "gauge", "Conversations that this process works on.")
TURNS: Final = Family("callmissed_turns_total", "counter", "Turns of bots by their end, and why.", ("state", "reason"))
TURN_SECONDS: Final = Family(
    "callmissed_turn_seconds",
    "histogram",
    "Parts of turns: waited (newest message to begin), heard (media), model, functions, total (newest message to end).",
    ("part",),
    CALL_S,
)
REPLY_SECONDS: Final = Family(
    "callmissed_reply_seconds",
    "histogram",
    "From a turn's newest message to the provider's taking its answer.",
    (),
    CALL_S,
)
SEND_ATTEMPTS: Final = Family(
    "callmissed_send_attempts_total",
    "counter",
    "Messages handed to a provider, by what came of it.",
    ("provider", "outcome"),
)
SEND_SECONDS: Final = Family(
    "callmissed_send_duration_seconds", "histogram", "One such attempt, uploads included.", ("provider",), CALL_S
)
HOOK_SECONDS: Final = Family(
    "callmissed_webhook_duration_seconds",
    "histogram",
    "First to last byte of a webhook of a channel's provider.",
    ("provider", "status"),
    FAST_S,
)
TASKS: Final = Family("callmissed_trio_tasks", "gauge", "Tasks that live.")
THREADS: Final = Family("callmissed_threads", "gauge", "Threads that live.")

FAMILIES: Final = tuple(each for each in list(globals().values()) if isinstance(each, Family))
#: Shown besides, where the system tells: by prometheus_client's own collector.
PROCESS: Final = (
    *("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total"),
    *("process_start_time_seconds", "process_open_fds", "process_max_fds"),
)

# OpenTelemetry: attributes and metrics of the GenAI conventions (at Development), of HTTP, and ours.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name
ERROR_TYPE: Final = "error.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
REQUEST_ID: Final = "callmissed.request_id"
OUTCOME: Final = "callmissed.outcome"
BASIS: Final = "callmissed.settlement_basis"
CREDITS_CHARGED: Final = "callmissed.credits"
CANCELLED_AT: Final = "callmissed.cancelled_at"

TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a name
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"  # noqa: S105 - a name
