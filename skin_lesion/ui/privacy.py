"""What the server does with an upload before anything else does."""

import json
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from skin_lesion.metadata import strip_file


class DropMetadata:
    """ASGI middleware: files that were uploaded have lost place, time and camera before anybody is told where they are.

    gradio's /upload answers with the paths that it wrote; the answer is held back until they are stripped. So it holds
    for the page, for programs and for every tab that takes files.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            await self.app(scope, receive, send)
            return
        messages: list[Any] = []

        async def hold(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, hold)  # and what it does in the background
        if messages and messages[0].get("status") == 200:
            for path in json.loads(b"".join(message.get("body", b"") for message in messages)):
                await run_in_threadpool(strip_file, Path(path))
        for message in messages:
            await send(message)
