"""The API tab: how another program asks, and what it gets, for each endpoint; and how an MCP client connects.

Names, types and descriptions come from the endpoints themselves. They are English, like the answers, and marked so.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any, get_type_hints

import gradio as gr
from gradio.utils import get_function_description

from skin_lesion.answers import API_VERSION, fields, json_type
from skin_lesion.classes import CODES
from skin_lesion.explain import METHODS
from skin_lesion.images import MAX_BYTES, MAX_PIXELS
from skin_lesion.language import Translator
from skin_lesion.texts import DISCLAIMER
from skin_lesion.ui.api import Endpoints, answer_of
from skin_lesion.ui.i18n import block
from skin_lesion.ui.snippets import BASE, LANGUAGES, MCP, SNIPPETS

# Fills in the address of this page, and copies. Without it the snippets name the address of an app that runs here.
SCRIPT = """
const address = () => {
  const base = window.location.origin + window.location.pathname.replace(/\\/+$/, "");
  for (const place of element.querySelectorAll(".base")) if (place.textContent !== base) place.textContent = base;
};
new MutationObserver(address).observe(element, { childList: true, subtree: true });
address();
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-done]");
  if (!button) return;
  const code = button.closest("figure").querySelector("code");
  const said = button.parentElement.querySelector("[role=status]");
  try {
    await navigator.clipboard.writeText(code.textContent);
    said.textContent = button.dataset.done;
  } catch {  // no permission, or a page without https: then it is selected, to be copied by hand
    window.getSelection().selectAllChildren(code);
    said.textContent = button.dataset.failed;
  }
});
"""


def build() -> None:
    gr.HTML(block(overview_html), js_on_load=SCRIPT, elem_classes="api")
    with gr.Tabs():
        for name in SNIPPETS:
            with gr.Tab(f"/{name}"):
                gr.HTML(block(partial(endpoint_html, name)), js_on_load=SCRIPT, elem_classes="api")
        with gr.Tab("MCP"):
            gr.HTML(block(mcp_html), js_on_load=SCRIPT, elem_classes="api")


def overview_html(t: Translator) -> str:
    limits = t(
        "An image may have {megabytes} MB and {megapixels} megapixels. Calls of one kind wait in a queue.",
        megabytes=MAX_BYTES // 1_000_000,
        megapixels=MAX_PIXELS // 1_000_000,
    )
    token = t(
        "If this is a private Space, every call needs a token that may read it: {python} in Python, elsewhere the "
        "header {header}.",
        python='<code>Client(…, token="hf_…")</code>',
        header="<code>Authorization: Bearer hf_…</code>",
    )
    what = t(
        "Other programs can ask what this page asks, at {address}. Version {version} of the endpoints; their names, "
        "parameters and fields stay as they are while its first number does.",
        address=f'<code class="base">{BASE}</code>',
        version=f"<strong>{API_VERSION}</strong>",
    )
    return f"<p>{what}</p><p>{t(DISCLAIMER)}</p><p>{limits} {token}</p>"


def endpoint_html(name: str, t: Translator) -> str:
    """Snippets, parameters and answer of one endpoint."""
    endpoint = getattr(Endpoints, name)
    what, parameters, _ = get_function_description(endpoint)
    snippets = "".join(
        code_html(text, f"{language}, /{name}", t, f"<h2>{language} <small>({LANGUAGES[language]})</small></h2>")
        for language, text in SNIPPETS[name].items()
    )
    rows = [(parameter, *_parameter(endpoint, parameter), text) for parameter, text in parameters.items() if text]
    asked = table_html(t("Parameters"), (t("name"), t("type"), t("default"), t("meaning")), rows) if rows else ""
    answered = table_html(t("Answer"), (t("field"), t("type"), t("meaning")), fields(answer_of(endpoint)))
    return f'<p lang="en">{escape(what)}</p>{snippets}{asked}{_shape(name, t)}{answered}'


def _shape(name: str, t: Translator) -> str:
    """What surrounds the fields, where something does."""
    shapes = {
        "explain": t("It answers with the picture, a PNG file, and with an object:"),
        "batch": t("It answers with a list of objects:"),
        "classes": t("It answers with a list of objects:"),
    }
    return f"<p>{shapes[name]}</p>" if name in shapes else ""


def _parameter(endpoint: Callable[..., Any], name: str) -> tuple[str, str]:
    """Its type, or all it can be, and its default, for people."""
    parameter = inspect.signature(endpoint).parameters[name]
    choices = {"image": "file", "files": "array of file", "target": ", ".join(CODES), "method": ", ".join(METHODS)}
    kind = choices.get(name) or json_type(get_type_hints(endpoint)[name])
    return kind, "" if parameter.default is parameter.empty else json.dumps(parameter.default)


def mcp_html(t: Translator) -> str:
    what = t(
        "Assistants that speak the Model Context Protocol find the same endpoints as tools at {address}. In most of "
        "them this is the configuration:",
        address=f'<code><span class="base">{BASE}</span>/gradio_api/mcp/</code>',
    )
    images = t(
        "An image is given by an address that everybody can open, or as a data: URI; or, for files of your own, by "
        "the tool that {command} adds. On a Space the tools' names begin with that of the Space.",
        command=f'<code>gradio upload-mcp <span class="base">{BASE}</span> FOLDER</code>',
    )
    tools = "".join(
        f"<li><code>{name}</code>: <span lang='en'>{escape(get_function_description(getattr(Endpoints, name))[0])}"
        "</span></li>"
        for name in SNIPPETS
    )
    return f"<p>{what}</p>{code_html(MCP, 'MCP', t)}<p>{images}</p><ul>{tools}</ul>"


def code_html(text: str, name: str, t: Translator, heading: str = "") -> str:
    """A program to read and to copy; it scrolls by keyboard where it is too wide."""
    code = escape(text).replace(BASE, f'<span class="base">{BASE}</span>')
    done, failed = t("Copied."), t("Selected: copy it with your keyboard or the menu of your browser.")
    return (
        f'<figure><div class="copy">{heading}<span role="status"></span>'
        f'<button type="button" data-done="{escape(done)}" data-failed="{escape(failed)}" '
        f'aria-label="{escape(t("Copy: {what}", what=name))}">{t("Copy")}</button></div>'
        f'<pre tabindex="0" role="region" aria-label="{escape(name)}"><code translate="no">{code}</code></pre></figure>'
    )


def table_html(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th>{"".join(f"<td>{escape(c)}</td>" for c in rest)}</tr>'
        for name, *rest in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead>"
        f'<tbody lang="en">{body}</tbody></table></div>'
    )
