"""What the server does so that nothing of a visitor's images outlives the answer by more than minutes."""

import asyncio
import atexit
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from gradio import Blocks
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from skin_lesion.metadata import strip_file

LOOK = 60  # s, between two looks
AGE = 300  # s, after which a file, and what is known of a page, is let go
log = logging.getLogger(__name__)
PREFIX = "skin_lesion_"  # of the folder's name, before the number of the process


@cache
def own_folder() -> Path:
    """Where gradio puts uploads and results of all components that are made from now on: a folder of this process.

    gradio's own is shared by all apps of a computer, so that nobody could say of a file there that it may go.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(f"{PREFIX}*_*"):  # by an app that was killed; in a container it had this one's number
        pid = left.name.removeprefix(PREFIX).partition("_")[0]
        if pid == str(os.getpid()) or not _runs(pid):
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_", dir=place)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = folder
    return Path(folder)


def _runs(pid: str) -> bool:
    """Whether a process of this number runs; where nobody can tell, it does."""
    if os.name != "posix" or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # of somebody else
        pass
    return True


class KeepPrivate:
    """ASGI middleware: files that were uploaded have lost place, time and camera before anybody is told where they are.

    gradio's /upload answers with the paths that it wrote; the answer is held back until they are stripped. So it holds
    for the page, for programs and for every tab that takes files. And its /deep_link, which would write what stands on
    a page to disk for good, is not there.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/deep_link"):
            await PlainTextResponse("Pages are not stored here.", 404)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload"):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def hold(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, hold)  # and what it does in the background
        if messages and messages[0].get("status") == 200:
            for path in json.loads(b"".join(message.get("body", b"") for message in messages)):
                await run_in_threadpool(strip_file, Path(path))
        for message in messages:
            await send(message)


@asynccontextmanager
async def forgetting(app: Any) -> AsyncIterator[None]:
    """The server's lifespan: every LOOK seconds files and pages older than AGE are let go, and all files at the end.

    In the place of Blocks(delete_cache=…), which leaves uploads that broke off, and what an output shows after a
    gr.skip(); and which remembers of a page, the answers among it, all until 10,000 newer pages have come.
    """

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                forget_pages(app, AGE)
            except Exception:  # of gradio's own notes; the files go all the same, and the next look comes
                log.exception("What is known of old pages cannot be let go.")
            try:
                await run_in_threadpool(delete_files, app.get_blocks(), own_folder(), AGE)
            except Exception:
                log.exception("Old files cannot be deleted.")

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        delete_files(app.get_blocks(), own_folder(), -1)


def forget_pages(app: Any, age: float) -> None:
    """Let go what gradio knows of the pages that asked nothing for `age` seconds; what waits or runs starts anew.

    Of a page it holds the state, the last values of the components and the answers that nobody fetched.
    """
    blocks, pages = app.get_blocks(), app.state_holder
    now = datetime.now()
    for event in list(blocks._queue.event_ids_to_events.values()):  # that wait or run
        pages.time_last_used[event.session_hash] = now
        request = repr(event.data)  # of any form, as anybody can send one
        for upload in blocks.upload_file_set.copy():
            if upload in request:
                with suppress(FileNotFoundError):
                    os.utime(upload)  # as good as new: it is still to be read
    for page, used in list(pages.time_last_used.items()):
        if now - used > timedelta(seconds=age):
            for held in (pages.session_data, pages.time_last_used):
                held.pop(page, None)
            for held in (blocks._queue.pending_messages_per_session, blocks._queue.pending_event_ids_session):
                held.pop(page, None)


def delete_files(blocks: Blocks, folder: Path, age: float) -> None:
    """Delete the files below `folder` that are older than `age` seconds, and folders left empty.

    Those files that the page itself needs stay.
    """
    needed = set().union(*(getattr(block, "keep_in_cache", ()) for block in blocks.blocks.values()))
    for place, folders, files in os.walk(folder, topdown=False):  # unlike rglob, not upset by what goes meanwhile
        for path in (Path(place, name) for name in files + folders):
            with suppress(OSError):  # gone meanwhile; or another look has more luck
                if str(path) in needed or time.time() - path.stat().st_ctime <= age:
                    continue
                if path.is_dir():
                    path.rmdir()  # fails, as it should, while something is in it
                    continue
                path.unlink()
                for noted in blocks.temp_file_sets:  # gradio's own notes
                    noted.discard(str(path))
