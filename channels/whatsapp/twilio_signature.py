"""The signature of Twilio's webhooks (wire/whatsapp-twilio.md §2), over nothing but the URL and parameters given."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Final

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # it ships no types

_URL: Final = re.compile(r"(https?|wss?)://([^/?#]*)([^#]*)(#.*)?", re.IGNORECASE | re.DOTALL)
_PORT: Final = re.compile(r":[0-9]*$")
_DEFAULT_PORTS: Final = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}


class _Form:
    """Parameters as the package asks for them: names, and all values of a name."""

    def __init__(self, params: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in params:
            self._values.setdefault(name, []).append(value)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def getall(self, name: str) -> list[str]:
        return self._values[name]


def signed(tokens: Sequence[str], url: str, params: Sequence[tuple[str, str]], header: str | None) -> bool:
    """Whether `header` (`X-Twilio-Signature`) signs this request with one of the auth tokens.

    `url` is the public base URL with the raw path and query, and with the fragment that is configured at Twilio, if
    any: what was signed may have had it or not, and may have named the default port or not. `params` are those of a
    form, percent-decoded; none for a GET or a JSON body, whose hash in the URL is the caller's to check.
    """
    form = _Form(params)
    given = (header or "").encode("utf-8", "backslashreplace")
    try:
        expected = [
            RequestValidator(token).compute_signature(form_of_url, form).encode()
            for token in tokens
            if token
            for form_of_url in _forms(url)
        ]
    except UnicodeEncodeError:
        return False
    matches = [hmac.compare_digest(each, given) for each in expected]
    return any(matches)


def _forms(url: str) -> list[str]:
    """The ways to write `url` that Twilio may have signed; only its text is changed, nothing is normalised."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return [url]
    scheme, authority, rest, fragment = parts.groups()
    bare, default = _PORT.sub("", authority), _DEFAULT_PORTS[scheme.lower()]
    written = {authority, bare}
    if authority in (bare, bare + default):
        written.add(bare + default)
    ends = {rest, rest + (fragment or "")}
    return sorted(f"{scheme}://{host}{end}" for host in written for end in ends)
