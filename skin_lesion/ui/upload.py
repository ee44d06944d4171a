"""Inputs that reach the handler unchecked, so that it can say what is wrong with them."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import httpx
from gradio.components.image import ImageData
from gradio.context import LocalContext
from gradio.data_classes import ListFiles
from gradio.processing_utils import save_base64_to_cache
from starlette.concurrency import run_in_threadpool

from skin_lesion.batch import Named
from skin_lesion.images import ImageError
from skin_lesion.metadata import strip_file

WEB = ("http://", "https://")
NOWHERE = "https://nowhere.invalid/"  # stands for what is no file among files, as gradio would refuse them all
HOW = (
    "Upload the file and send the path that the upload answers with, in Python gradio_client.handle_file(PATH); or "
    "send an address that everybody can open, or a data: URI, as path."
)
log = logging.getLogger(__name__)
TOLD = (httpx.HTTPError, httpx.InvalidURL, ValueError)  # what an address can be to blame for; ValueError: the guard's


async def _fetched(address: str, move: Callable[[str], Awaitable[str | None]]) -> str | None:
    """Fetch a file that is given by its address, with gradio's own guard against addresses of an inner network.

    A file that was uploaded to this app is given by its address too (`gradio upload-mcp` does so); it is here already,
    and the guard would refuse to fetch it from 127.0.0.1. One that comes from elsewhere loses what is not the picture.

    Args:
        move: gradio's own async_move_resource_to_block_cache of the component.
    """
    if not address.lower().startswith(WEB):
        return await move(address)
    blocks = LocalContext.blocks.get(None)
    here = f"{(blocks and blocks.local_url) or ''}gradio_api/file="
    if address.startswith(here):
        path = unquote(address.removeprefix(here))
        if path in blocks.upload_file_set:
            return await move(path)
        raise gr.Error("The uploaded image is not there, or not any more; send it again.", print_exception=False)
    try:
        path = await move(address)
    except Exception as error:
        told = isinstance(error, TOLD) or type(error) is Exception  # gradio's own, for a status or too many redirects
        why = f" ({error})" if told else ""
        raise gr.Error(
            f"The image cannot be fetched from {address[:200]}{why}. Give an address that everybody can open "
            "without logging in, upload the file, or send it as a data: URI.",
            print_exception=not told,
        ) from error
    if path:
        await run_in_threadpool(strip_file, Path(path))
    return path


class CheckedBlocks(gr.Blocks):
    """Blocks that look at what was sent before gradio does.

    gradio's own refusals reach nobody who calls a named endpoint; and with some of them it writes into the log what was
    sent, an image as a data: URI among it, where no image may stay. Parameters that were left out get their defaults.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        left_out = [block.value for block in block_fn.inputs[len(inputs) :]]
        sent = [*inputs, *left_out]
        for i, block in enumerate(block_fn.inputs):
            if isinstance(block, (LesionImage, LesionFiles)):
                sent[i] = await run_in_threadpool(block.received, sent[i])
        return await super().preprocess_data(block_fn, sent, *args, **kwargs)


def _received(sent: Any, folder: str) -> dict[str, Any]:
    """What gradio is to go on with: a file that was uploaded, an address to fetch, or the file of a data: URI.

    folder: where uploads lie, and what a data: URI holds is put.

    Raises:
        gr.Error: it is none of these.
    """
    given = sent if isinstance(sent, dict) else {}
    kept = {key: given[key] for key in ("orig_name", "mime_type") if isinstance(given.get(key), str)}
    address = given.get("path") or given.get("url")
    if isinstance(address, str) and address.lower().startswith("data:"):
        try:
            address = save_base64_to_cache(address, folder)
        except (ValueError, OSError):
            raise gr.Error(f"The data: URI does not hold a file in base64. {HOW}", print_exception=False) from None
        strip_file(Path(address))
    elif not (isinstance(address, str) and (address.lower().startswith(WEB) or _within(address, folder))):
        shown = repr(address if isinstance(address, str) else sent)[:100]
        raise gr.Error(f"{shown} is no file that was uploaded here. {HOW}", print_exception=False)
    elif isinstance(given.get("url"), str) and given.get("path"):
        kept["url"] = given["url"]
    return {"path": address, "meta": {"_type": "gradio.FileData"}, **kept}


def _within(path: str, folder: str) -> bool:
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        return False


class LesionImage(gr.Image):
    """A gr.Image that hands the handler the path of the uploaded file, unopened.

    gr.Image opens the file itself before the handler runs, so that a damaged one ends in a generic
    message; skin_lesion.images says what is wrong with it.
    """

    is_template = True  # the browser shows it as gr.Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None

    def received(self, sent: Any) -> Any:
        """What gradio is to go on with, before `preprocess`."""
        return None if sent is None else _received(sent, self.GRADIO_CACHE)

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        return await _fetched(str(url_or_file_path), super().async_move_resource_to_block_cache)


class LesionFiles(gr.File):
    """A gr.File that hands the handler the name of each file, as the visitor knows it, and its path or what is wrong.

    gr.File gives only the path, in which the name is shortened; it refuses all files if one has an unexpected ending or
    cannot be fetched; and it leaves an empty file on the server for each.
    """

    is_template = True  # the browser shows it as gr.File

    def preprocess(self, payload: ListFiles | None) -> list[Named]:
        return [(file.orig_name or file.path.rpartition("/")[2], self._place(file.path)) for file in payload or []]

    def received(self, sent: Any) -> Any:
        """What gradio is to go on with, before `preprocess`; what is no file does not stop the others."""
        if sent is None:
            return None
        files: list[dict[str, Any]] = []
        for one in sent if isinstance(sent, list) else [sent]:
            try:
                files.append(_received(one, self.GRADIO_CACHE))
            except gr.Error:
                files.append({"path": NOWHERE, "orig_name": repr(one)[:100], "meta": {"_type": "gradio.FileData"}})
        return files

    def _place(self, path: str) -> str | ImageError:
        if path == NOWHERE:
            return ImageError("This is no file that was uploaded here; upload it first.")
        if path.lower().startswith(WEB):
            return ImageError(
                "The file cannot be fetched from its address; give one that everybody can open without logging in, or "
                "upload the file."
            )
        return path

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """An address from which nothing can be fetched stays as it is, for `preprocess`, and the other files go on."""
        if url_or_file_path == NOWHERE:
            return NOWHERE
        try:
            return await _fetched(str(url_or_file_path), super().async_move_resource_to_block_cache)
        except gr.Error as error:
            if error.print_exception:  # the address is not to blame
                log.error("A file could not be fetched.", exc_info=error)
            return str(url_or_file_path)

    def api_info(self) -> dict[str, Any]:
        """A list of what LesionImage takes: of gr.File's own description gradio makes no valid schema for MCP."""
        return {"type": "array", "items": ImageData.model_json_schema()}


class Choice(gr.Dropdown):
    """A gr.Dropdown whose choices are the documented ones, and which leaves it to the handler to refuse others."""

    is_template = True

    def preprocess(self, payload: str | None) -> str | None:
        return payload


class Range(gr.Slider):
    """A gr.Slider whose handler gets what the page shows once its field is left, whatever was typed into it.

    The page sends an emptied field as None and a number beyond an end as it is, then shows the least or that end;
    gr.Slider answers with an error.
    """

    is_template = True  # the browser shows it as gr.Slider

    def preprocess(self, payload: float | None) -> float:
        typed = self.minimum if payload is None else payload
        return super().preprocess(min(max(typed, self.minimum), self.maximum))
