"""What the tests run against the Hub of tests/hub.py, as its clients, and what they get back.

The real client reads HF_ENDPOINT when it is imported, so none of this runs in the tests' own process.
"""

import contextlib
import io
import json
import logging
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from hub import WRITER, Hub
from huggingface_hub import constants

from skin_lesion.examples import read_examples
from skin_lesion.model import ModelError, load
from train import push

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def as_client(token: str | None, xet: bool) -> Iterator[None]:
    """This process with a token, on the client's default way or on LFS, and too impatient to wait between tries."""
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    with patch.object(constants, "HF_HUB_DISABLE_XET", not xet), patch("time.sleep", lambda seconds: None):
        yield


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the program writes into its log meanwhile."""
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger("skin_lesion").addHandler(handler)
    try:
        yield handler.stream
    finally:
        logging.getLogger("skin_lesion").removeHandler(handler)


def forget() -> None:
    """Empty the client's cache."""
    shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)


def save_token(token: str | None) -> None:
    """As 'hf auth login' does, or 'hf auth logout'."""
    Path(constants.HF_TOKEN_PATH).write_text(token) if token else Path(constants.HF_TOKEN_PATH).unlink()


def run_push(arguments: list, token: str | None = WRITER, xet: bool = False) -> tuple[int, str]:
    """Exit status and all that train.push prints. Anything it raises fails the test."""
    with as_client(token, xet), contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        status = push.main([str(argument) for argument in arguments])
    return status, out.getvalue()


def run_load(source: str, image=None, token: str | None = WRITER, xet: bool = False):
    """(revision, probabilities, figures), or the text of the ModelError. Anything else fails the test."""
    with as_client(token, xet):
        try:
            classifier = load(source)
        except ModelError as error:
            return str(error)
    return classifier.revision, image and classifier.predict(image).probabilities, classifier.metrics


def run_examples(source: str, xet: bool = False) -> tuple[list[str], set[str], str]:
    """Of the loaded model: examples that can be shown, files in its folder examples/, and the log."""
    with as_client(WRITER, xet), logged() as log:
        folder = load(source).folder / "examples"
        return [e.path.name for e in read_examples(folder)], {p.name for p in folder.glob("*")}, log.getvalue()


def run_app(model: str, fallback: str = "", token: str | None = WRITER) -> tuple[str, str, str]:
    """Run app.py up to its launch: (why it ended, the texts of its page, its log)."""
    variables = {"SKIN_LESION_MODEL": model, "SKIN_LESION_FALLBACK": fallback}
    with as_client(token, xet=True), patch.dict(os.environ, variables), logged() as log:
        try:
            app = runpy.run_path(str(ROOT / "app.py"), run_name="app")
        except SystemExit as end:
            return str(end.code), "", log.getvalue()
    english = app["I18N"].translations["en"]
    texts = []
    for block in app["demo"].blocks.values():
        value = str(getattr(block, "value", ""))
        key = json.loads(value.removeprefix("__i18n__"))["key"] if value.startswith("__i18n__") else None
        texts.append(english.get(key, value))
    return "", " ".join(texts), log.getvalue()


@contextlib.contextmanager
def started(hub: Hub, home: Path, xet: bool = False, **variables: str) -> Iterator[tuple[str, str]]:
    """app.py in a process of its own, as a Space starts it: (its URL, what it wrote so far), or ("", all it wrote)."""
    (home / "tmp").mkdir(exist_ok=True)  # its own, so that the Hub's cache does not lie in it, from which gradio serves
    own = dict.fromkeys(("TMPDIR", "GRADIO_TEMP_DIR"), str(home / "tmp")) | {"PYTHONUNBUFFERED": "1"}
    env = os.environ | hub.environment(home, xet) | own | variables
    command = [sys.executable, str(ROOT / "app.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        too_long = threading.Timer(300, process.kill)
        too_long.start()
        written, url = "", None
        for line in process.stdout:
            written += line
            if url := re.search(r"Running on local URL: +(http\S+)", line):
                break
        try:
            yield (url[1], written) if url else ("", f"{written}exit status {process.wait()}")
        finally:
            too_long.cancel()
            process.terminate()


def run_alone(hub: Hub, home: Path, code: list[str], xet: bool = False) -> subprocess.CompletedProcess:
    """Python in a process of its own, as a user starts it."""
    env = os.environ | hub.environment(home, xet)
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=env, cwd=home, timeout=600)


PUSH = ["-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from train.push import main; sys.exit(main())"]
