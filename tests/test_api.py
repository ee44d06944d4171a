"""The named endpoints as a product: recorded, documented, and asked by every program that the API tab offers."""

import asyncio
import base64
import functools
import http.server
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import gradio as gr
import httpx
import numpy as np
import pytest
from browser import launch
from gradio import processing_utils
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from test_metadata import SECRETS, exif

import app
from skin_lesion.answers import (
    API_VERSION,
    BatchAnswer,
    BatchError,
    ClassAnswer,
    ExplainAnswer,
    ModelAnswer,
    PredictAnswer,
    fields,
)
from skin_lesion.batch import MAX_IMAGES
from skin_lesion.classes import CLASSES, CODES
from skin_lesion.explain import METHODS
from skin_lesion.language import translator
from skin_lesion.quality import HINTS
from skin_lesion.texts import DISCLAIMER
from skin_lesion.ui import api, api_tab, upload
from skin_lesion.ui.privacy import delete_files, own_folder
from skin_lesion.ui.snippets import BASE, MCP, SNIPPETS
from skin_lesion.ui.tools import Tools

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "api_schema.json"
EN = translator("en")


@pytest.fixture(scope="module")
def demo(classifier):
    demo = app.build_demo(classifier)
    demo.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
    yield demo
    demo.close()


@pytest.fixture(scope="module")
def server(demo):
    return demo.local_url


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


@pytest.fixture
def here(image, tmp_path, monkeypatch):
    """A folder with the image that the snippets name, where they run."""
    image.save(tmp_path / "lesion.jpg")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "lesion.jpg", "folder/mole.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The record


def schema(client) -> dict:
    named = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    return {
        "version": API_VERSION,
        "endpoints": {
            name: {
                "parameters": {
                    p["parameter_name"]: f"{p['python_type']['type']} = {p['parameter_default']!r}"
                    for p in about["parameters"]
                },
                "answers": [f"{a['label']}: {a['component']}" for a in about["returns"]],
                "fields": {field: kind for field, kind, _ in fields(api.answer_of(getattr(api.Endpoints, name[1:])))},
            }
            for name, about in named.items()
        },
    }


def test_the_endpoints_are_as_recorded(client):
    """Names, parameters, defaults, fields, types and their order."""
    now, recorded = schema(client), json.loads(RECORDED.read_text())
    assert json.dumps(now, indent=1) == json.dumps(recorded, indent=1), (
        f"The endpoints differ from tests/api_schema.json. If that is intended: raise API_VERSION in "
        f"skin_lesion/answers.py by the rule in CHANGELOG.md, say there what changed, and record it:\n"
        f"{json.dumps(now, indent=1)}"
    )


def test_the_changelog_names_the_version():
    assert f"API {API_VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def fits(value, hint) -> bool:
    """Whether a JSON value is of a type of skin_lesion.answers; of an object, whether its fields stand in its order."""
    hint = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        return list(value) == list(hints) and all(fits(value[name], hints[name]) for name in hints)
    inner = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, part) for part in inner)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and (inner[1] is Any or all(fits(v, inner[1]) for v in value.values()))
    return type(value) is hint


def test_answers_have_the_documented_fields_and_types(client, here):
    image = handle_file("lesion.jpg")
    assert fits(client.predict(image, api_name="/predict"), PredictAnswer)
    assert fits(client.predict(image, "df", 0.5, "finer", api_name="/explain")[1], ExplainAnswer)
    answered, failed = client.predict([image, handle_file(__file__)], api_name="/batch")
    assert fits(answered, BatchAnswer)
    assert fits(failed | {"left_out": 3}, BatchError) and list(failed) == ["image", "error"]
    assert BatchAnswer.__required_keys__ == set(answered) and BatchError.__required_keys__ == set(failed)
    classes = client.predict(api_name="/classes")
    assert len(classes) == len(CLASSES) and all(fits(c, ClassAnswer) for c in classes)
    assert fits(client.predict(api_name="/model"), ModelAnswer)
    assert not fits({"source": 1, "revision": ""}, get_type_hints(PredictAnswer)["model"])


def test_a_calibrated_model_answers_with_the_documented_types_too():
    classifier, _ = app.load_model()
    example = app.examples_for(classifier)[0]
    answer = classifier.predict(example.path).to_dict()
    assert answer["set95"] and answer["dermatoscopic"] is True and fits(answer, PredictAnswer)


def test_explain_says_of_the_image_what_predict_says(client, here):
    image = handle_file("lesion.jpg")
    predicted, (_, explained) = (client.predict(image, api_name=f"/{name}") for name in ("predict", "explain"))
    common = ("set90", "set95", "malignant", "dermatoscopic", "quality", "model")
    assert [explained[name] for name in common] == [predicted[name] for name in common]


def test_figures_and_codes_in_descriptions_are_those_of_the_code():
    assert f"up to {MAX_IMAGES} " in api.description(api.Endpoints.batch)
    assert f"up to {MAX_IMAGES} images" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f": {', '.join(HINTS)}." in api.description(api.Endpoints.predict)


# The tab


def test_the_tab_shows_every_endpoint_with_its_snippets_parameters_and_fields(client):
    named = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert [f"/{name}" for name in SNIPPETS] == list(named)
    for name in SNIPPETS:
        html = api_tab.endpoint_html(name, EN)
        endpoint = getattr(api.Endpoints, name)
        assert all(f"<code>{p}</code>" in html for p in inspect.signature(endpoint).parameters if p != "self")
        assert all(f"<code>{field}</code>" in html for field, *_ in fields(api.answer_of(endpoint)))
        assert html.count("<pre") == 3 and html.count(BASE) == html.count(f'<span class="base">{BASE}</span>') == 3


def test_a_browser_shows_and_copies_the_address_of_the_page_and_runs_the_javascript(server, here, browser_program):
    base = server.rstrip("/")
    with launch(browser_program) as browser:
        context = browser.new_context(locale="en", permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(server)
        page.get_by_role("tab", name="API").click()
        for name, of in SNIPPETS.items():
            page.get_by_role("tab", name=f"/{name}").click()
            for language, text in of.items():
                button = page.get_by_role("button", name=f"Copy: {language}, /{name}")
                button.focus()
                page.keyboard.press("Enter")
                page.get_by_text("Copied.").last.wait_for()
                assert page.evaluate("navigator.clipboard.readText()") == text.replace(BASE, base)
        page.get_by_role("tab", name="MCP").click()
        assert page.get_by_role("region", name="MCP").inner_text().strip() == MCP.replace(BASE, base).strip()

        page.route("**/empty", lambda route: route.fulfill(content_type="text/html", body="<input type=file>"))
        page.goto(f"{base}/empty")
        page.set_input_files("input", "lesion.jpg")
        node, web = SNIPPETS["predict"]["JavaScript"].split("// in a web page, instead of these two lines:\n// ")
        logged = []
        page.on("console", lambda message: logged.append(message.text))
        page.evaluate(f"(async () => {{ {web.replace(BASE, base)} }})()")
        assert len(node.splitlines()) == 2 and logged and logged[0].startswith(tuple(CODES))


# The snippets, as they stand on the tab but for the address of the server


def snippet(endpoint: str, language: str, server: str) -> str:
    return SNIPPETS[endpoint][language].replace(BASE, server.rstrip("/"))


def is_told(endpoint: str, output: str, classifier) -> bool:
    """Whether a program printed what the endpoint answers."""
    mel = str(round(classifier.predict("lesion.jpg").probabilities["mel"], 6))
    expected = {"predict": mel, "explain": mel, "batch": mel, "classes": CLASSES[-1].name, "model": classifier.revision}
    return expected[endpoint] in output


@pytest.mark.parametrize("endpoint", SNIPPETS)
def test_python_runs(server, classifier, here, endpoint, capsys):
    exec(compile(snippet(endpoint, "Python", server), endpoint, "exec"), {})
    assert is_told(endpoint, capsys.readouterr().out, classifier)
    assert endpoint != "explain" or Image.open("overlay.png").format == "PNG"


@pytest.mark.parametrize("endpoint", SNIPPETS)
def test_curl_runs(server, classifier, here, endpoint):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    command = ["sh", "-euc", snippet(endpoint, "curl", server)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and "event: complete" in result.stdout, result.stderr
    assert is_told(endpoint, result.stdout, classifier)
    assert endpoint != "explain" or Image.open("overlay.png").format == "PNG"


@pytest.mark.parametrize("endpoint", SNIPPETS)
def test_javascript_runs(server, classifier, here, endpoint):
    if shutil.which("node") is None:
        pytest.skip("needs Node")
    Path("program.mjs").write_text(snippet(endpoint, "JavaScript", server))
    result = subprocess.run(["node", "program.mjs"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and is_told(endpoint, result.stdout, classifier), result.stderr


@pytest.mark.parametrize("language", ["curl", "JavaScript"])
def test_errors_reach_every_program_in_plain_words(server, here, language):
    Path("lesion.jpg").write_text("text")
    needed = {"curl": "curl", "JavaScript": "node"}[language]
    if shutil.which(needed) is None:
        pytest.skip(f"needs {needed}")
    Path("program.mjs").write_text(snippet("predict", language, server))
    command = ["sh", "program.mjs"] if language == "curl" else ["node", "program.mjs"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "not an image that can be read" in result.stdout + result.stderr


# MCP


def ask(server: str, *calls: tuple[str, dict]) -> list:
    """The tools of the server named in the configuration on the tab, and what each call of one answers."""
    (entry,) = json.loads(MCP.replace(BASE, server.rstrip("/")))["mcpServers"].values()

    async def session():
        async with streamable_http_client(entry["url"]) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return [(await session.list_tools()).tools, *[await session.call_tool(*call) for call in calls]]

    return asyncio.run(session())


def over_http(server: str, endpoint: str, *parameters) -> Any:
    """What a program without gradio_client gets: the answer's data, or the sentence of an error."""
    url = f"{server}gradio_api/call/{endpoint}"
    event = httpx.post(url, json={"data": list(parameters)}).json()["event_id"]
    kind, data = re.findall(r"event: (complete|error)\ndata: (.*)", httpx.get(f"{url}/{event}", timeout=60).text)[-1]
    return json.loads(data) if kind == "complete" else json.loads(data)["error"]


def test_an_image_may_come_as_text_over_http(server, client, image, here):
    image.save("lesion.png")
    expected = client.predict(handle_file("lesion.png"), api_name="/predict")
    for given in ({"path": data_uri(image)}, {"url": data_uri(image)}):
        assert over_http(server, "predict", given | {"meta": {"_type": "gradio.FileData"}}) == [expected]
    picture, answer = over_http(server, "explain", {"path": data_uri(image)})  # the rest as documented
    assert answer["target"] == expected["prediction"] and picture["path"]
    rows = over_http(server, "batch", [{"path": data_uri(image)}, None, "lesion.png", {"path": "/etc/passwd"}])[0]
    assert rows[0]["prediction"] == expected["prediction"]
    assert all("This is no file that was uploaded here" in row["error"] for row in rows[1:])


@pytest.mark.parametrize(
    "given",
    ["lesion.jpg", ["lesion.jpg"], 7, {}, {"path": "/etc/passwd"}, {"path": "a" * 5000}, {"path": 7}, {"path": "a\0b"}],
)
def test_what_is_no_file_is_refused_with_what_to_do(server, given):
    assert re.search(
        r"is no file that was uploaded here. .*gradio_client.handle_file", over_http(server, "predict", given)
    )
    if not isinstance(given, list):
        assert "is no file that was uploaded here" in over_http(server, "batch", given)[0][0]["error"]


def test_a_data_uri_that_holds_no_file_is_refused(server):
    assert "does not hold a file in base64" in over_http(server, "predict", {"path": "data:image/png;base64,A"})
    assert "No image was sent" in over_http(server, "predict", None) and "No image" in over_http(server, "predict")


def data_uri(image: Image.Image, **options) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_tools_are_the_documented_endpoints_with_typed_parameters(server):
    (tools,) = ask(server)
    assert [tool.name for tool in tools] == list(SNIPPETS)
    schemas = {tool.name: tool.inputSchema for tool in tools}
    assert schemas["predict"]["required"] == schemas["explain"]["required"] == ["image"]
    assert schemas["batch"]["properties"]["files"]["type"] == "array"
    explain = schemas["explain"]["properties"]
    assert {name: about["type"] for name, about in explain.items()} == {
        "image": "string", "target": "string", "opacity": "number", "method": "string"
    }  # fmt: skip
    assert explain["target"]["enum"] == ["", *CODES] and explain["method"]["enum"] == list(METHODS)
    assert all(about["description"] for schema in schemas.values() for about in schema["properties"].values())
    for tool in tools:
        answered = fields(api.answer_of(getattr(api.Endpoints, tool.name)))
        assert DISCLAIMER in tool.description and all(
            f"{name} ({kind})" in tool.description for name, kind, _ in answered
        )


def test_tools_answer_with_json_and_pictures(server, client, image, here):
    image.save("lesion.png")
    given = {"image": data_uri(image)}
    _, predict, explain, batch, classes, model = ask(
        server,
        ("predict", given),
        ("explain", given | {"target": "mel", "opacity": 0.5, "method": "finer"}),
        ("batch", {"files": [data_uri(image), "http://127.0.0.1/inner.png", data_uri(image)]}),
        ("classes", {}),
        ("model", {}),
    )
    sent = handle_file("lesion.png")
    assert json.loads(predict.content[0].text) == client.predict(sent, api_name="/predict")
    picture, _, answer = explain.content
    assert picture.mimeType == "image/png" and Image.open(io.BytesIO(base64.b64decode(picture.data))).width == 120
    assert json.loads(answer.text) == client.predict(sent, "mel", 0.5, "finer", api_name="/explain")[1]
    rows = json.loads(batch.content[0].text)
    assert rows[1]["image"] == "inner.png" and "cannot be fetched" in rows[1]["error"]  # and the others go on
    assert [rows[i]["prediction"] for i in (0, 2)] == [json.loads(predict.content[0].text)["prediction"]] * 2
    assert json.loads(classes.content[0].text) == client.predict(api_name="/classes")
    assert json.loads(model.content[0].text) == client.predict(api_name="/model")


def test_the_tools_start_again_on_the_next_port_where_another_process_was_quicker(demo):
    """Between gradio's look whether a port is free and its use; gradio then starts all that it serves anew."""
    tools = Tools(demo)

    async def twice():
        for _ in range(2):
            async with tools.lifespan(None):
                pass

    asyncio.run(twice())


def test_an_image_is_taken_from_an_address_but_never_from_an_inner_network(server, client, image, here, monkeypatch):
    """Loopback stands for the internet here: gradio's guard is told so, and refuses it otherwise."""
    image.save("lesion.png", exif=exif())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(here))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever).start()
        address = f"http://127.0.0.1:{web.server_port}/lesion.png"
        _, refused = ask(server, ("predict", {"image": address}))
        monkeypatch.setattr(processing_utils, "PUBLIC_HOSTNAME_WHITELIST", ["127.0.0.1"])
        _, answer, absent = ask(server, ("predict", {"image": address}), ("predict", {"image": address + "x"}))
        web.shutdown()
    assert refused.isError and f"cannot be fetched from {address}" in refused.content[0].text
    assert json.loads(answer.content[0].text) == client.predict(handle_file("lesion.png"), api_name="/predict")
    assert absent.isError and "404" in absent.content[0].text
    fetched = [path.read_bytes() for path in own_folder().rglob("lesion.png")]
    assert fetched and not any(secret in content for secret in SECRETS for content in fetched)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectTimeout("too slow"), True),
        (httpx.InvalidURL("no port"), True),
        (ValueError("Hostname inner failed validation"), True),
        (Exception("Failed to download file. Status code: 404"), True),
        (PermissionError(13, "Permission denied", "/srv/secret"), False),
        (KeyError("inner"), False),
    ],
)
def test_only_what_the_address_is_to_blame_for_is_told(error, told, monkeypatch, caplog):
    async def move(*_):
        raise error

    with pytest.raises(gr.Error, match="cannot be fetched from https://example.org/a.jpg") as raised:
        asyncio.run(upload._fetched("https://example.org/a.jpg", move))
    assert (str(error) in raised.value.message) is told and raised.value.print_exception is not told  # else in the log

    monkeypatch.setattr(gr.File, "async_move_resource_to_block_cache", move)
    files = upload.LesionFiles(file_count="multiple")
    address = "https://example.org/a.jpg"
    assert asyncio.run(files.async_move_resource_to_block_cache(address)) == address
    assert [record.exc_info is not None for record in caplog.records] == [True] * (not told)


def test_a_file_uploaded_to_the_app_is_taken_by_its_address_and_no_other_file(server, client, here):
    """As `gradio upload-mcp` gives it to an assistant, which must work at 127.0.0.1 too."""
    with open("lesion.jpg", "rb") as file:
        (path,) = httpx.post(f"{server}gradio_api/upload", files={"files": file}).json()
    _, answer, batch, other, absent = ask(
        server,
        ("predict", {"image": f"{server}gradio_api/file={path}"}),
        ("batch", {"files": [f"{server}gradio_api/file={path}", f"{server}gradio_api/file={path}x"]}),
        ("predict", {"image": f"{server}gradio_api/file={ROOT / 'examples' / 'mel_synthetic.jpg'}"}),
        ("predict", {"image": f"{server}gradio_api/file={path}x"}),
    )
    assert json.loads(answer.content[0].text) == client.predict(handle_file("lesion.jpg"), api_name="/predict")
    assert ["prediction" in row for row in json.loads(batch.content[0].text)] == [True, False]
    for refused in (other, absent):
        assert refused.isError and "The uploaded image is not there" in refused.content[0].text


@pytest.mark.parametrize(
    ("tool", "given", "message"),
    [
        ("predict", {}, "'image' is a required property"),
        ("predict", {"image": "/etc/passwd"}, "provide a url"),
        ("predict", {"image": "data:image/png;base64,AAAA"}, "not an image that can be read"),
        ("explain", {"image": "data:image/png;base64,AAAA", "target": "melanoma"}, "'melanoma' is not one of .*'mel'"),
        ("explain", {"image": None, "opacity": 5}, "None is not of type 'string'"),
        ("diagnose", {}, "diagnose"),
    ],
)
def test_bad_input_to_a_tool_gets_a_readable_error(server, tool, given, message):
    _, answer = ask(server, (tool, given))
    assert answer.isError
    assert re.search(message, answer.content[0].text)


def test_no_image_that_came_as_a_data_uri_outlives_the_cleaning(demo, server):
    """A picture that nobody else has, so that its files are this test's own; and as a camera writes it."""
    noise = np.frombuffer(os.urandom(64 * 64 * 3), np.uint8).reshape(64, 64, 3)
    uri = data_uri(Image.fromarray(noise), exif=exif())
    _, answer = ask(server, ("predict", {"image": uri}))
    assert not answer.isError
    kept = own_folder() / processing_utils.hash_base64(uri) / "file.png"
    assert kept.is_file()  # gradio's copy; where it makes none any more, Tools.convert_strings_to_filedata can go
    assert not any(secret in kept.read_bytes() for secret in SECRETS)
    delete_files(demo, own_folder(), -1)
    assert not kept.exists()


def test_without_the_package_mcp_the_app_starts_and_serves_the_rest(classifier, monkeypatch, here):
    monkeypatch.setitem(sys.modules, "mcp", None)  # its import fails
    demo = app.build_demo(classifier)
    try:
        demo.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
        assert demo.mcp_server is False and "gradio[mcp]" in demo.mcp_error
        assert Client(demo.local_url, verbose=False).predict(api_name="/model")["api_version"] == API_VERSION
    finally:
        demo.close()


def test_the_page_s_own_events_are_no_tools(demo):
    assert {f.api_name for f in demo.fns.values() if f.api_visibility == "public"} == set(SNIPPETS)
    assert len(demo.fns) > len(SNIPPETS)
