"""The MCP server that gradio makes of the endpoints, improved in five places.

gradio 6.31 answers with Python's notation of an object (None, 'mel') where a client expects JSON; it shows no picture
where an endpoint has two answers and the client follows no progress; it keeps an image that was sent as a data: URI
for ever and whole, unlike every other upload; it takes no list of files; and it starts once only. Where a later gradio
has other methods, its own behaviour comes back.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.mcp
from gradio.mcp import GradioMCPServer, client_utils

from skin_lesion.metadata import strip_file
from skin_lesion.ui.privacy import own_folder


class Tools(GradioMCPServer):
    def __init__(self, blocks: gr.Blocks):
        super().__init__(blocks)
        start = self.lifespan

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            """Where another process takes the port first, gradio starts the app anew on the next one."""
            self.manager._has_started = False  # else no port would do: the manager refuses a second start
            async with start(app):
                yield

        self.lifespan = lifespan

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """Arguments with files in the place of data: URIs; like uploads they lose what is not the picture."""
        places = [place for position in filedata_positions for place in _each(value, position)]
        converted = super().convert_strings_to_filedata(value, places)
        client_utils.traverse(converted, self._as_uploaded, client_utils.is_file_obj_with_meta)
        return converted

    def _as_uploaded(self, file: dict[str, Any]) -> None:
        path = Path(file["path"])
        if path.parent.parent == own_folder() and path.is_file():  # not an address
            strip_file(path)
            self.blocks.upload_file_set.add(str(path))

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        """One value for each answer of the endpoint; the client gives several as a tuple."""
        (result,) = await super()._execute_tool_without_progress(job)
        return list(result) if isinstance(result, tuple) else [result]

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Objects as JSON, pictures as gradio gives them: the picture itself, then its address."""
        content = []
        for value in data:
            if isinstance(value, (dict, list)) and not client_utils.is_file_obj_with_meta(value):
                content.append(self.types.TextContent(type="text", text=json.dumps(value, ensure_ascii=False)))
            else:
                content += super().postprocess_output_data([value], root_url)
        return content


def _each(value: Any, position: list[str | int]) -> list[list[str | int]]:
    """Where files are in the arguments: gradio says [files, items] of a list, and looks for [files, 0], [files, 1] …"""
    if position[-1] != "items" or not isinstance(given := value.get(position[0]), list):
        return [position]
    return [[*position[:-1], number] for number in range(len(given))]


def use() -> None:
    """Let launch(mcp_server=True) serve Tools: gradio has no option for the class, and makes the server itself.

    It writes into the folder that the variable GRADIO_TEMP_DIR named when gradio was imported.
    """
    gradio.mcp.GradioMCPServer = Tools  # type: ignore[misc]
    gradio.mcp.DEFAULT_TEMP_DIR = str(own_folder())
