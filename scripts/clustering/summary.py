"""What the cluster prints and writes besides what a single gateway does: its replicas, and what to do to them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from scripts.clustering.replica import Replica
from scripts.launching.summary import Ready


def run_json(ready: Ready, replicas: Sequence[Replica]) -> dict[str, object]:
    """run.json of a single gateway, whose base URL is the balancer's, and the replicas that serve now."""
    listed = [{"pid": each.pid, "url": each.url, "metrics_url": each.metrics_url} for each in replicas]
    return {**ready.run_json(), "replicas": listed}


def text(ready: Ready, replicas: Sequence[Replica]) -> str:
    """For a terminal: a single gateway's text, then the replicas."""
    lines = [f"  replica {each.number}   {each.url}   pid {each.pid}" for each in replicas]
    tries = [
        ("kill one", f"kill -9 {replicas[0].pid}"),
        ("replace all, one by one", f"kill -HUP {os.getpid()}"),
        ("stop", "Ctrl-C"),
    ]
    return "\n".join(
        [ready.text(), "Behind it:", "", *lines, "", *(f"  {name:<25}{command}" for name, command in tries), ""]
    )
