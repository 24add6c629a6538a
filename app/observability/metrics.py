"""Counters and histograms of one gateway; several gateways in a process count apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from app.core.money import UCR_PER_CREDIT
from app.observability import names
from app.observability.channels import ChannelMetrics
from app.observability.facts import CallFacts, RequestFacts
from app.observability.names import Family
from app.observability.stats import Buckets, Counts, Histograms, Labels

#: What a family shows, by the values of its labels.
Table = Mapping[Labels, float | Buckets]


class Metrics:
    """Told once when a request and once when a call is over: about a dozen additions for both."""

    def __init__(self) -> None:
        self._tables: dict[Family, Table] = {}
        self._requests = self._counter(names.REQUESTS)
        self._request_s = self._histogram(names.REQUEST_SECONDS)
        self._overhead_s = self._histogram(names.OVERHEAD_SECONDS)
        self._refusals = self._counter(names.REFUSALS)
        self._calls = self._counter(names.CALLS)
        self._call_s = self._histogram(names.CALL_SECONDS)
        self._first_token_s = self._histogram(names.FIRST_TOKEN_SECONDS)
        self._tokens = self._counter(names.TOKENS)
        self._credits = self._counter(names.CREDITS)
        self._settlements = self._counter(names.SETTLEMENTS)
        self._cancels = self._counter(names.CANCELS)
        self._attempts = self._counter(names.ATTEMPTS)
        self._uncollected = self._counter(names.UNCOLLECTED)
        self._heartbeats = self._counter(names.HEARTBEATS)
        self._blocked_s = self._counter(names.BLOCKED_SECONDS)
        self._sdk_retries = self._counter(names.SDK_RETRIES)
        self._close_lag_s = self._histogram(names.CLOSE_LAG_SECONDS)[()]
        self.loop_lag_s = self._histogram(names.LOOP_LAG_SECONDS)[()]
        self.channels = ChannelMetrics()

    def tables(self) -> Iterator[tuple[Family, Table]]:
        """Everything counted so far. The tables are the live ones."""
        yield from self._tables.items()
        yield from self.channels.tables()

    def request_ended(self, request: RequestFacts) -> None:
        endpoint = (request.endpoint,)
        self._requests[request.endpoint, str(request.status)] += 1
        took_s = request.ended - request.began
        self._request_s[endpoint].observe(took_s)
        self.channels.request_ended(request.endpoint, request.status, took_s)
        if request.code is not None:
            self._refusals[request.code,] += 1
        if (call := request.call) is None or not call.id:
            return
        self._overhead_s[endpoint].observe(request.overhead_s)
        if call.heartbeats:
            self._heartbeats[()] += call.heartbeats
        if call.blocked_s:
            self._blocked_s[()] += call.blocked_s
        if (lag_s := request.close_lag_s) is not None:
            self._close_lag_s.observe(lag_s)

    def call_ended(self, call: CallFacts) -> None:
        self._calls[call.endpoint, call.model, call.outcome] += 1
        self._call_s[call.endpoint, call.model].observe(call.ended - call.began)
        self._settlements[call.basis,] += 1
        for attempt in call.attempts:
            self._attempts[attempt.provider, attempt.result] += 1
        if call.first_content is not None:
            self._first_token_s[call.attempts[-1].provider, call.model].observe(call.first_content - call.began)
        if call.phase is not None:
            self._cancels[call.phase,] += 1
        if call.sdk_retries:
            self._sdk_retries[()] += 1
        if call.basis != "none":
            self._count_money(call)

    def _count_money(self, call: CallFacts) -> None:
        model = call.model
        self._credits[model,] += call.charge_ucr / UCR_PER_CREDIT
        if call.uncollected_ucr:
            self._uncollected[()] += call.uncollected_ucr / UCR_PER_CREDIT
        if (usage := call.usage) is None:
            return
        self._tokens[model, "input"] += usage.prompt
        self._tokens[model, "output"] += usage.completion
        if usage.cached:
            self._tokens[model, "cached"] += usage.cached
        if usage.reasoning:
            self._tokens[model, "reasoning"] += usage.reasoning

    def _counter(self, family: Family) -> Counts:
        """One without labels is there from the start: 0 is a figure too."""
        table: Counts = defaultdict(float, {} if family.labels else {(): 0.0})
        self._tables[family] = table
        return table

    def _histogram(self, family: Family) -> Histograms:
        table = Histograms(family.buckets)
        self._tables[family] = table
        return table
