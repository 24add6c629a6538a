"""Whose turn it is among those that something is sent to, so that none waits for another that is dead.

So many attempts are under way in all, so many to each host, so many for each tenant. A host is a receiver of webhooks,
or a number that messages leave from.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

MOST: Final = 200
MOST_OF_HOST: Final = 4
MOST_OF_TENANT: Final = 16
#: A host that gave no status is asked by one attempt at a time until it gives one, or for this long.
SILENT_S: Final = 60.0


class Room:
    """Who is inside. Times are those of any steady clock, in seconds."""

    def __init__(
        self, *, most: int = MOST, most_of_host: int = MOST_OF_HOST, most_of_tenant: int = MOST_OF_TENANT
    ) -> None:
        self._most, self._most_of_host, self._most_of_tenant = most, most_of_host, most_of_tenant
        self._inside = 0
        self._hosts: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._silent_until: dict[str, float] = {}

    def enter(self, host: str, tenant_id: str, now: float) -> bool:
        """Go in, if there is room."""
        most = 1 if self._silent_until.get(host, now) > now else self._most_of_host
        if self._inside >= self._most or self._hosts[host] >= most or self._tenants[tenant_id] >= self._most_of_tenant:
            return False
        self._inside += 1
        self._hosts[host] += 1
        self._tenants[tenant_id] += 1
        return True

    def leave(self, host: str, tenant_id: str) -> None:
        self._inside -= 1
        for counts, name in ((self._hosts, host), (self._tenants, tenant_id)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]

    def heard(self, host: str, *, spoke: bool, now: float) -> None:
        """An attempt has ended, with a status or without one."""
        if spoke:
            self._silent_until.pop(host, None)
            return
        self._silent_until = {each: until for each, until in self._silent_until.items() if until > now}
        self._silent_until[host] = now + SILENT_S
