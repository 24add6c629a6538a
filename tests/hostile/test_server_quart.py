"""The server under a Quart-Trio application, as the gateway runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import trio
from quart import Response
from quart_trio import QuartTrio

from app.server import ServerSettings, serve
from tests.hostile.misbehave import Diary
from tests.hostile.rig import Peer


async def test_a_hang_up_cancels_a_quart_stream_and_lets_it_settle() -> None:
    app, diary = QuartTrio(__name__), Diary()

    @app.post("/stream")
    async def stream() -> Response:
        async def body() -> AsyncGenerator[bytes, None]:
            try:
                yield b"first"
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(5, shield=True):
                    await trio.lowlevel.checkpoint()
                    diary.write("settled")

        return Response(body())

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(app, ServerSettings(port=0), shutdown=trio.Event(), task_status=task_status)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            (url,) = await nursery.start(run)
            async with Peer(await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))) as peer:
                await peer.request("/stream")
                await peer.until(b"first")
            await diary.until("settled")
            nursery.cancel_scope.cancel()
