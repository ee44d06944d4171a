"""The app as a visitor meets it: a process of its own with the bundled weights, watched from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]

# every address that the process looks up or connects to goes to its log; so does, when asked, how many pages it knows;
# and told so, it finds everything old, until it is told again
SCRIPT = """
import signal, sys

def watch(event, args):
    if event == "socket.connect" or event == "socket.getaddrinfo":
        where = args[1] if event == "socket.connect" else args[0]
        print("CALLS", where[0] if isinstance(where, tuple) else where, file=sys.stderr, flush=True)

sys.addaudithook(watch)
import app
from skin_lesion.ui import privacy
privacy.LOOK, age = float(sys.argv[1]), privacy.AGE

def held(*_):
    messages = app.demo._queue.pending_messages_per_session.values()
    print("HELD", len(app.demo.state_holder.session_data) + len(messages), file=sys.stderr, flush=True)

def hurry(*_):
    privacy.AGE = 0 if privacy.AGE else age

signal.signal(signal.SIGUSR1, held)
signal.signal(signal.SIGUSR2, hurry)
app.demo.launch(**app.launch_options())
"""


@dataclass(frozen=True)
class Served:
    url: str  # ends with /
    temp: Path  # where gradio puts uploads and results
    log: Path  # what the process wrote, to either stream
    pid: int = 0
    root: Path = ROOT

    def files(self) -> list[Path]:
        """What lies in the temporary folder, without the examples that the page needs."""
        found = (Path(place, name) for place, _, names in os.walk(self.temp) for name in names)
        return [path for path in found if not path.name.endswith("_synthetic.jpg")]

    def pages(self) -> int:
        """Of how many visitors the process knows anything: what stands on their page, or an answer not yet fetched."""
        known = len(self._pages())
        os.kill(self.pid, signal.SIGUSR1)
        while len(self._pages()) == known:
            time.sleep(0.05)
        return int(self._pages()[-1].split()[1])

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Meanwhile whatever a look finds is old enough to be let go, but for what waits or runs."""
        os.kill(self.pid, signal.SIGUSR2)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGUSR2)

    def _pages(self) -> list[str]:
        whole = self.log.read_text().rpartition("\n")[0]  # a line comes in pieces
        return [line for line in whole.splitlines() if line.startswith("HELD")]


@contextmanager
def serve_app(folder: Path, look: float = 60) -> Iterator[Served]:
    """Start app.py on a free port; look: seconds between two looks for what is old."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED")}
    served = Served("", folder / "temp", folder / "log.txt")
    served.temp.mkdir()
    with open(served.log, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", SCRIPT, str(look)],
            cwd=ROOT,
            env=environment | {"GRADIO_TEMP_DIR": str(served.temp), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        mark = "Running on local URL:"
        while mark not in served.log.read_text():
            assert process.poll() is None, served.log.read_text()
            time.sleep(0.2)
        url = served.log.read_text().split(mark)[1].split()[0].rstrip("/") + "/"
        yield replace(served, url=url, pid=process.pid)
    finally:
        process.terminate()
        process.wait()
