"""A running server keeps nothing of an image: seen from outside, in its files, its answers, its log and its calls."""

import asyncio
import atexit
import base64
import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import gradio as gr
import httpx
import pytest
from browser import Visitor
from gradio.data_classes import PredictBodyInternal
from gradio.state_holder import StateHolder
from gradio_client import Client, handle_file
from PIL import Image
from served import serve_app
from test_metadata import SECRETS, encoded, exif

import app
from skin_lesion.ui import privacy

LOOK = 0.5  # s
NAME = "anna-left-shoulder"  # of the uploaded file


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve_app(tmp_path_factory.mktemp("served"), look=LOOK) as served:
        yield served


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, verbose=False, download_files=False)


@pytest.fixture(scope="module")
def photographs(image, tmp_path_factory):
    """A picture as a phone writes it, once for each kind of file."""
    folder = tmp_path_factory.mktemp("phone")
    for kind, options in (("JPEG", {"comment": SECRETS[2]}), ("PNG", {}), ("WEBP", {})):
        content = encoded(image.resize((300, 225)), kind, exif=exif(6), **options)
        assert SECRETS[0] in content
        (folder / f"{NAME}.{kind.lower()}").write_bytes(content)
    return sorted(folder.iterdir())


def fetch(served, path: str) -> bytes:
    with urlopen(f"{served.url}gradio_api/file={quote(path)}") as response:
        return response.read()


def forgotten(served) -> None:
    """Wait until nothing but the page's own examples is left, on disk and of what the process knows of a page."""
    patience = time.monotonic() + 60
    with served.hurrying():
        while (served.files() or served.pages()) and time.monotonic() < patience:
            time.sleep(LOOK / 4)
    assert served.files() == [] and served.pages() == 0


def endpoints(client) -> dict[str, bool]:
    """Those that take an image, and whether they take several."""
    named = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    types = {name: [p["python_type"]["type"] for p in endpoint["parameters"]] for name, endpoint in named.items()}
    return {name: "list[filepath]" in found for name, found in types.items() if "filepath" in str(found)}


def test_what_is_shipped_deletes_within_minutes_and_records_nothing(served):
    assert 0 < privacy.LOOK <= 60 and 0 < privacy.AGE <= 300
    assert app.launch_options()["run_history"] is False and app.demo.analytics_enabled is False
    config = Client(served.url, verbose=False).config
    assert config["run_history"] is False and config["analytics_enabled"] is False


def test_place_time_and_camera_leave_the_server_nowhere(served, client, photographs):
    """Not in the upload as the page shows it, not in a file beside it, not in an answer."""
    for path in photographs:
        overlay, answer = client.predict(handle_file(path), api_name="/explain")
        assert answer["target"] and not any(s.decode() in str(answer) for s in SECRETS)
        for file in (overlay["path"], *map(str, served.files())):
            content = fetch(served, file)
            assert not any(secret in content for secret in SECRETS), file
            opened = Image.open(io.BytesIO(content))
            assert not set(opened.getexif()) - {0x0112} and "comment" not in opened.info  # but which side is up


def test_the_page_shows_an_upload_without_place_time_and_camera_and_the_server_forgets_it(served, browser, photographs):
    visitor = Visitor(browser, served.url)
    responses = []
    visitor.page.on("response", lambda response: responses.append(response))
    jpeg = next(path for path in photographs if path.suffix == ".jpeg")
    visitor.upload(jpeg)
    visitor.open_tab("gradcam").locator("#cam-map img").wait_for()
    files = [response for response in responses if "file=" in response.url]
    assert any(NAME in response.url for response in files) and any("image.png" in r.url for r in files)
    assert not any(secret in response.body() for response in files for secret in SECRETS)
    visitor.close()
    forgotten(served)


def test_every_file_is_gone_soon_after_each_endpoint(served, client, photographs):
    names = endpoints(client)
    assert {"/predict", "/explain", "/batch"} <= set(names)
    for name, several in names.items():
        given = list(map(handle_file, photographs)) if several else handle_file(photographs[0])
        client.predict(given, api_name=name)
        assert served.files()
    forgotten(served)
    assert list(served.temp.rglob("*_synthetic.jpg")), "the page still has its examples"


def test_a_page_left_open_is_forgotten_and_goes_on_working(served, browser, photographs):
    """An example's maps come anew; those of a photograph cannot, and the page says why."""
    visitor = Visitor(browser, served.url)
    visitor.click_example(4)
    assert served.pages()
    forgotten(served)
    tab = visitor.open_tab("gradcam")
    drawn = "[...document.querySelectorAll('#cam-map img, #cam-all img')].filter((image) => image.naturalWidth).length"
    visitor.page.wait_for_function(f"{drawn} == 8")
    forgotten(served)
    tab.locator("input[type=range]").first.press("ArrowLeft")
    visitor.page.get_by_text("The map was kept for a few minutes only").wait_for()
    tab.locator("#cam-target input[value=nv]").check()
    tab.get_by_text("Grad-CAM for Melanocytic nevi").wait_for()
    visitor.open_tab("predict")
    visitor.upload(photographs[0])
    answer = visitor.page.locator("#answer").text_content()
    forgotten(served)
    visitor.open_tab("gradcam").get_by_text("The file is not there, or not any more").wait_for()
    assert visitor.page.locator("#answer").text_content() == answer
    visitor.close()


def test_no_page_can_be_stored(served):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{served.url}gradio_api/deep_link?session_hash=abc")


def test_what_waits_or_runs_is_not_forgotten(tmp_path):
    """Neither the page nor the uploads that it is about to read, however long it takes."""
    upload, other = tmp_path / "one" / "lesion.png", tmp_path / "two" / "other.png"
    file = {"path": str(upload), "meta": {"_type": "gradio.FileData"}}
    with gr.Blocks() as demo:
        gr.HTML()
    demo.upload_file_set |= {str(upload), str(other)}
    demo._queue.event_ids_to_events["1"] = SimpleNamespace(
        session_hash="busy", data=PredictBodyInternal(data=[[file], 1])
    )
    held = StateHolder()
    held.set_blocks(demo)
    server = SimpleNamespace(state_holder=held, get_blocks=lambda: demo)
    for path, page in ((upload, "busy"), (other, "idle")):
        path.parent.mkdir()
        path.touch()
        held[page]
    time.sleep(2.1)
    privacy.forget_pages(server, 2)
    privacy.delete_files(demo, tmp_path, 2)
    assert list(held.session_data) == ["busy"] and upload.exists() and not other.exists()
    assert demo.upload_file_set == {str(upload)}


def test_folders_go_when_they_have_been_empty_for_long(tmp_path):
    with gr.Blocks() as demo:
        gr.HTML()
    for name in ("empty/inner", "full"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full" / "lesion.png").touch()
    privacy.delete_files(demo, tmp_path, 60)
    assert len(list(tmp_path.rglob("*"))) == 4
    privacy.delete_files(demo, tmp_path, -1)
    assert list(tmp_path.iterdir()) == []


def test_where_one_look_fails_the_files_go_all_the_same_and_the_next_look_comes(tmp_path, monkeypatch, caplog):
    looks = []

    def fail(*_):
        raise AttributeError("gradio has another name for it")

    monkeypatch.setattr(privacy, "LOOK", 0.01)
    monkeypatch.setattr(privacy, "forget_pages", fail)
    monkeypatch.setattr(privacy, "delete_files", lambda *given: looks.append(given) or (len(looks) == 1 and fail()))

    async def serve():
        async with privacy.forgetting(SimpleNamespace(get_blocks=lambda: None)):
            while len(looks) < 3:
                await asyncio.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:  # in this thread the browser has a loop of its own
        pool.submit(asyncio.run, serve()).result()
    said = {record.message for record in caplog.records if record.exc_info}
    assert said == {"What is known of old pages cannot be let go.", "Old files cannot be deleted."}


def test_what_a_killed_app_left_goes_when_the_next_one_starts(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    killed = [f"skin_lesion_{pid}_abc" for pid in (dead.pid, os.getpid())]
    others = [f"skin_lesion_{os.getppid()}_abc", "skin_lesion_of_somebody"]
    for name in killed + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "upload.png").touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(atexit, "register", lambda *_, **__: None)
    folder = privacy.own_folder.__wrapped__()
    assert folder.parent == tmp_path and folder.is_dir() and os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert not any((tmp_path / name).exists() for name in killed)
    assert all((tmp_path / name).exists() for name in others)


def test_an_image_that_comes_as_text_stays_no_longer_than_a_file_and_is_not_logged(served, photographs):
    text = base64.b64encode(photographs[0].read_bytes()).decode()
    uri = f"data:image/jpeg;base64,{text}"
    for kind, path in (("path", uri), ("url", uri), ("path", text)):
        for endpoint, given in (("predict", {kind: path}), ("batch", [{kind: path}])):
            url = f"{served.url}gradio_api/call/{endpoint}"
            event = httpx.post(url, json={"data": [given]}).json()["event_id"]
            httpx.get(f"{url}/{event}", timeout=60)
    assert not any(SECRETS[0] in path.read_bytes() for path in served.files())
    assert text[:500] not in served.log.read_text() and "Traceback" not in served.log.read_text()
    forgotten(served)


def test_nobody_finds_the_files_of_another(served, client, photographs):
    """A path holds a digest of the content with a secret of the server; there is no list of them."""
    client.predict(handle_file(photographs[0]), api_name="/predict")
    (path,) = (p for p in served.files() if NAME in p.name)
    assert fetch(served, str(path))
    for guess in (served.temp, path.parent, served.temp / path.name, served.log, served.root / "app.py", "/etc/passwd"):
        with pytest.raises(HTTPError, match="403|404"):
            fetch(served, str(guess))


def test_a_bad_file_and_half_an_upload_are_deleted_like_a_good_one(served, client, tmp_path):
    bad = tmp_path / f"{NAME}.jpg"
    bad.write_bytes(b"just text")
    for name in ("/predict", "/explain"):
        with pytest.raises(Exception, match="not an image"):
            client.predict(handle_file(bad), api_name=name)
    host, known = urlsplit(served.url), set(served.files())
    with socket.create_connection((host.hostname, host.port)) as connection:
        head = f'Content-Disposition: form-data; name="files"; filename="{NAME}.jpg"'
        connection.sendall(
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: 1000000\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n{head}\r\n\r\n".encode()
            + bytes(100_000)
        )
        while not any(file.stat().st_size for file in set(served.files()) - known):
            time.sleep(LOOK / 4)
    forgotten(served)


def test_the_log_names_no_upload_and_the_server_calls_nobody(served, client, photographs):
    """It stands last, so that the log holds all of the tests before."""
    client.predict(handle_file(photographs[0]), api_name="/predict")
    log = served.log.read_text()
    assert NAME not in log and str(served.temp) not in log
    called = {line.split()[1] for line in log.splitlines() if line.startswith("CALLS")}
    assert called and called <= {"127.0.0.1", "localhost", "0.0.0.0", "::1"}
