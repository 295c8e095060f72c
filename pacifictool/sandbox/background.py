"""Blocking calls kept off the event loop by daemon threads.

asyncio's own executor is joined when the loop ends; a name server or broker that does not respond would then keep
the sandbox from stopping.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_background(call: Callable[[], Result]) -> Result:
    """Runs `call` in a daemon thread and gives its result; raises what it raises."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 - handed on to the waiting coroutine
            error = raised
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                return  # The loop was closed meanwhile.

    threading.Thread(target=run, daemon=True, name="sandbox-background").start()
    return await future
