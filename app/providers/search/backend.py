"""What every search provider's dialect shares: the contract, the verdicts on a failure, the forming of requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from app.core.errors import UpstreamError
from app.core.search import Found, Search
from app.providers.dialect import Outgoing, Verdict, retry_after_s, upstream_error


class Backend(Protocol):
    """One provider's way of being asked. Pure: it opens no socket."""

    name: str
    method: bytes

    def ask(self, search: Search) -> Outgoing:
        """The request; filters that the provider lacks are left out."""

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        """The results in the provider's order. Raises Malformed."""

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        """Any answer but 2xx; `body` is its JSON or None, header names are in lower case, `now` is Unix time."""


AWAY: Final = "Search is unavailable for now. Nothing was charged; try again later."
BROKEN: Final = "The search provider failed to answer. Nothing was charged; try again."
CROWDED: Final = "Search has too many requests right now. Wait as long as Retry-After says, then try again."
REFUSED: Final = Verdict(
    "invalid_request_error", "The search provider refused this request. Compare its filters with the documentation."
)
PROHIBITED: Final = Verdict("content_policy_violation", "The search provider does not answer this query. Change it.")
ACCOUNT: Final = Verdict("provider_error", AWAY, "other", "open_provider")
THROTTLED: Final = Verdict("rate_limit_exceeded", CROWDED, "other", "rest", wait_s=5)
FAILED: Final = Verdict("upstream_error", BROKEN, "other", "count")
UNREACHED: Final = Verdict("provider_error", AWAY, "other", "count")


def judged(
    verdict: Verdict, status: int, headers: Mapping[str, str], words: str, secret: str, now: float
) -> UpstreamError:
    wait_s = retry_after_s(headers.get("retry-after"), now)
    return upstream_error(verdict, words, status=status, secret=secret, wait_s=wait_s)


def ours(error: UpstreamError) -> UpstreamError:
    """A failure of the connection in the words of search: the next provider is tried at once."""
    message = BROKEN if error.code == "upstream_error" else AWAY
    return UpstreamError(error.code, message, "other", error.breaker, status=error.status, detail=error.detail)


def headers_of(own: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    both = {"accept": "application/json", "accept-encoding": "identity", **own}
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in both.items())


def query_string(path: str, parameters: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"


def with_sites(search: Search) -> str:
    """The query with the domain filters as words, as search engines read them."""
    wanted = " OR ".join(f"site:{domain}" for domain in search.include)
    unwanted = " ".join(f"-site:{domain}" for domain in search.exclude)
    wanted = f"({wanted})" if len(search.include) > 1 else wanted
    return " ".join(part for part in (search.query, wanted, unwanted) if part)


_SPAN: Final = re.compile(r"(?:^|,)qdr:([hdwmy])")


def span_of(search: Search) -> str | None:
    """`h`, `d`, `w`, `m` or `y` of a `tbs` such as `qdr:d`: how far back."""
    match = _SPAN.search(search.tbs or "")
    return match[1] if match else None
