"""What comes before the tests: their environment, their order, and tests/shared_fixtures.py where tests are run."""

import os

import pytest

# before huggingface_hub is imported, which reads it then: no test may reach the real Hub
os.environ["HF_HUB_OFFLINE"] = "1"
WORKER = "PYTEST_XDIST_WORKER" in os.environ
if WORKER:  # one for each core, and so one thread for each, before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("SKIN_LESION_MODEL", "SKIN_LESION_FALLBACK"):
    os.environ.pop(name, None)  # a developer's own model is not under test

# What takes longest goes first, so that no worker ends long after the others; xdist itself would go by the number of
# tests, and these files have few.
LONG = ("browser", "start", "push", "processes", "resume", "evaluate", "app", "explain_eval", "explain", "calibrate")
LONG += ("pull", "privacy", "fit", "card", "benchmarks", "report", "readme")
# These push models and start the app; on one worker they do so once.
TOGETHER = ("start", "push", "pull")


def pytest_configure(config):
    config.option.loadscopereorder = False
    # with -n the first process only deals the tests out, and importing torch would keep waiting those that run them
    if WORKER or not getattr(config.option, "numprocesses", None):
        config.pluginmanager.import_plugin("shared_fixtures")


def pytest_collection_modifyitems(items):
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        """--dist loadfile, but for TOGETHER, which count as one file."""

        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "together" if file.endswith(tuple(f"test_{name}.py" for name in TOGETHER)) else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None
