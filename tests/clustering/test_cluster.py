"""scripts/cluster as a process: calls go on whatever happens to a replica, and no row is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio

from tests.books import open_books
from tests.clustering.running import Cluster, ask, is_served, open_cluster, question

CUES = "[tokens=15] [pace=40]"
CLIENTS = 12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two replicas over a PostgreSQL of their own."""
    with open_cluster(tmp_path_factory.mktemp("cluster"), "--replicas", "2") as opened:
        yield opened
        opened.signal(signal.SIGTERM)
        opened.wait_ended()


class Crowd:
    """Clients that call again as soon as they are answered, half of them over one pool. `ids`: of all calls."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ids: list[str] = []
        self.is_over = False

    async def call(self, client: httpx2.AsyncClient) -> None:
        while not self.is_over:
            self.ids.append(await ask(client, CUES))

    async def call_alone(self, *, http2: bool = False) -> None:
        async with self.cluster.client(http2=http2) as client:
            await self.call(client)


async def credits_left(client: httpx2.AsyncClient) -> tuple[Decimal, Decimal]:
    """Balance and what of it is held."""
    reply = (await client.get("/credits")).content
    left = msgspec.json.decode(reply, type=dict[str, Decimal])
    return left["balance"], left["held"]


async def test_a_rolling_restart_under_a_crowd_drops_no_call_and_loses_no_row(cluster: Cluster) -> None:
    crowd = Crowd(cluster)
    async with cluster.client() as client:
        before, _ = await credits_left(client)
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                shared = partial(crowd.call, client)
                alone = partial(crowd.call_alone, http2=number % 4 == 3)
                nursery.start_soon(alone if number % 2 else shared)
            await trio.sleep(0.5)
            pids = cluster.pids()
            cluster.signal(signal.SIGHUP)
            await cluster.replaced(pids, 2)
            await trio.sleep(0.5)
            crowd.is_over = True
        receipts = [(await client.get("/generation", params={"id": each})).json()["data"] for each in crowd.ids]
        after, held = await credits_left(client)
    assert len(crowd.ids) > 10 * CLIENTS
    assert {receipt["outcome"] for receipt in receipts} == {"completed"}
    assert before - after == sum(Decimal(str(receipt["credits"])) for receipt in receipts)
    assert held == 0
    async with open_books(cluster.run["database_url"]):
        pass  # it checks at its end


async def test_calls_go_on_when_a_replica_is_killed_and_it_comes_back(cluster: Cluster) -> None:
    before = cluster.pids()
    victim = cluster.run["replicas"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    async with cluster.client() as client:
        for _ in range(20):
            await ask(client, "[tokens=1]")
    await cluster.replaced({victim}, 2)
    assert len(cluster.pids() & before) == 1


async def test_a_running_call_ends_before_the_cluster_does_and_nothing_is_left(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gateway.db'}"
    with open_cluster(tmp_path / "data", "--replicas", "1", "--database", database) as cluster:
        run = cluster.run
        assert run["database_url"] == database
        async with (
            cluster.client() as client,
            client.stream("POST", "/chat/completions", json=question("[tokens=30] [pace=15]")) as reply,
        ):
            lines = reply.aiter_lines()
            await anext(lines)
            cluster.signal(signal.SIGTERM)
            assert [line async for line in lines][-2:] == ["data: [DONE]", ""]
        code, output = await trio.to_thread.run_sync(cluster.wait_ended)
    assert code == 0, output
    assert output.rstrip().endswith("Stopped.")
    assert not (tmp_path / "data" / "run.json").exists()
    assert not is_served(run["replicas"][0]["url"])
    assert not is_served(run["simulator_url"])


def test_a_killed_cluster_takes_its_replicas_along(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gateway.db'}"
    with open_cluster(tmp_path / "data", "--replicas", "1", "--database", database) as cluster:
        url = cluster.run["replicas"][0]["url"]
        assert is_served(url)
        cluster.process.kill()
        cluster.process.wait()
        deadline = time.monotonic() + 10
        while is_served(url):
            assert time.monotonic() < deadline, "the replica outlived its cluster"
            time.sleep(0.1)


def test_a_replica_that_cannot_start_ends_the_cluster_with_its_message(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    database = f"sqlite:///{tmp_path / 'gateway.db'}"
    with (
        pytest.raises(AssertionError, match=r"Replica 1 did not start"),
        open_cluster(
            tmp_path / "data", "--replicas", "1", "--database", database, "--certfile", missing, "--keyfile", missing
        ),
    ):
        pass
