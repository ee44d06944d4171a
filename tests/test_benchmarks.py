"""The benchmarks run and say what they measured; how fast it was is not tested."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import skin_lesion
from skin_lesion import explain
from skin_lesion.explain import METHODS
from skin_lesion.model import load

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.data_path", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)


def run_here(monkeypatch, benchmark, *arguments):
    """`python -m benchmarks.BENCHMARK ARGUMENTS` without a process of its own; an error in it is raised here."""
    monkeypatch.setattr(sys, "argv", [benchmark, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"benchmarks.{benchmark}", run_name="__main__")
    return end.value.code


@pytest.fixture(scope="module")
def report(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "data_path.md"
    small = ["--images", "12", "--sides", "32", "48", "--batch", "4", "--repeats", "1"]
    result = run("--data", str(dataset), "--device", "cpu", *small, "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == out.read_text().strip()
    return out.read_text()


def test_the_data_path_is_timed_beside_the_usual_one(report, dataset):
    assert "--data HAM10000 --images 12 --batch 4 --repeats 1 --sides 32 48`" in report and str(dataset) not in report
    for heading in ("Data only", "A whole training step", "Mixed precision"):
        section = report.partition(f"## {heading}")[2].partition("##")[0]
        for side in (32, 48):
            cells = re.search(rf"^\| {side} px \| (.*) \|$", section, re.M)
            if "float32 only" not in section:
                assert all(float(re.match(r"[\d.]+", cell)[0]) > 0 for cell in cells[1].split(" | "))


def test_what_cannot_be_timed_is_named(dataset, monkeypatch, capsys):
    small = ["--device", "cpu", "--images", "8", "--batch", "64"]
    assert run_here(monkeypatch, "data_path", "--data", str(dataset), *small) == 1
    assert "--batch 64 is more than the 8 images; lower it, or raise --images." in capsys.readouterr().err


def test_maps_are_timed_beside_the_prediction(model_folder, tmp_path, monkeypatch):
    out = tmp_path / "explain_cost.md"
    small = load(f"local-dir:{model_folder}")
    monkeypatch.setattr(skin_lesion, "load", lambda: small)  # how long it takes is not tested
    monkeypatch.setattr(explain, "STEPS", 4)
    monkeypatch.setattr(explain, "WINDOWS", 2)
    assert run_here(monkeypatch, "explain_cost", "--repeats", "1", "--out", str(out)) == 0
    rows = dict(re.findall(r"^\| (\w.*?) \| ([\d.]+) \|", out.read_text(), re.M))
    assert {f"{m.name}, one class" for m in METHODS.values()} < set(rows) and "prediction" in rows
    assert all(float(value) > 0 for value in rows.values()) and small.revision in out.read_text()
