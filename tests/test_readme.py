"""The README's code runs, and its commands exist."""

import re
import runpy
import signal
import sys
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def server():
    _, url, _ = app.demo.launch(prevent_thread_lock=True, quiet=True)
    yield url
    app.demo.close()


def test_python_blocks_run(server, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        code = block.replace("http://127.0.0.1:7860", server).replace("/tmp/", f"{tmp_path}/")
        exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "mel_gradcam.png").is_file()


def run_here(module: str, *arguments: str) -> int:
    """`python -m MODULE ARGUMENTS` without the seconds that a process of its own takes to import torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", [module, *arguments])
        patch.setattr(signal, "signal", lambda *_: None)  # train.fit's way to end on SIGTERM is not for the tests
        with pytest.raises(SystemExit) as end:
            runpy.run_module(module, run_name="__main__")
    return end.value.code or 0


def test_predict_commands_run(capsys):
    commands = re.findall(r"^\.venv/bin/python -m (skin_lesion predict .*?)(?: +#.*)?$", README, re.M)
    examples = list((ROOT / "examples").glob("*.jpg"))
    assert len(commands) == 3 and len(examples) >= 7
    for command in commands:
        assert run_here(*command.split()) == 0
        out = capsys.readouterr().out
        assert all(path.name in out for path in examples)


def test_report_command_runs(tmp_path):
    (command,) = re.findall(r"^\.venv/bin/python -m (skin_lesion report .*?)(?: +#.*)?$", README, re.M)
    command = command.replace("/tmp/", f"{tmp_path}/")
    assert run_here(*command.split()) == 0
    assert "Melanoma (mel)" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m (train\.\w+)", README))))
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_training_commands_exist_with_the_options_named(module, capsys):
    assert run_here(module, "--help") == 0
    out = capsys.readouterr().out
    for line in re.findall(rf"-m {re.escape(module)}(.*)", README):
        assert all(option in out for option in re.findall(r"--[a-z-]+", line.split("#")[0]))


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", "".join(blocks("bash")))):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_linked_files_exist():
    for link, _, heading in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link
        if heading and not link.startswith("http"):
            headings = re.findall(r"^#+ (.+)$", (ROOT / link).read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [h.lower().replace(" ", "-") for h in headings], f"{link}#{heading}"
