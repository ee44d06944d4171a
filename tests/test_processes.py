"""Two processes, started by the real torchrun, train like one."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ddp_worker
import pytest
import torch
from safetensors.torch import load_file
from timm.layers import SyncBatchNormAct

from train import processes
from train.checkpoint import plain, read_checkpoint
from train.device import pick_device
from train.options import FitError, parse_options
from train.processes import Processes
from train.start import build_model

ROOT = Path(__file__).parents[1]


def torchrun(*command) -> subprocess.CompletedProcess:
    """Two processes."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=600,  # s; a process that waits for another for ever is ended, and the test fails
    )


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def two(dataset, notes):
    """Output of two processes that went through ddp_worker.main up to its end, where the last one fails on purpose."""
    result = torchrun(ddp_worker.__file__, str(dataset), str(notes))
    assert "RuntimeError: the last process fails" in result.stderr, result.stderr
    return result


def seen(notes, name):
    return [torch.load(notes / f"{name}.{rank}.pt") for rank in (0, 1)]


def interleave(shares):
    """Two processes' shares of every batch, put together again."""
    return [[image for pair in zip(*batch, strict=True) for image in pair] for batch in zip(*shares, strict=True)]


@pytest.fixture(scope="module")
def one(dataset, tmp_path_factory):
    """What one process saw, and its model folder."""
    notes = tmp_path_factory.mktemp("one")
    arguments = ["--data", str(dataset), "--out", str(notes / "sharp"), *ddp_worker.SHARP]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun's processes have: more would sum the starting statistics in another order
    try:
        assert ddp_worker.run("sharp", notes, arguments, sharp=True) == 0
    finally:
        torch.set_num_threads(threads)
    return notes


def test_every_step_sees_the_same_images_augmented_alike(one, two, notes):
    single, shares = torch.load(one / "sharp.0.pt"), seen(notes, "sharp")
    assert len(single["index"]) == 8
    assert interleave([s["index"] for s in shares]) == single["index"]
    assert interleave([s["labels"] for s in shares]) == single["labels"]
    for whole, *parts in zip(single["images"], *(s["images"] for s in shares), strict=True):
        assert torch.stack(parts, 1).flatten(0, 1) == pytest.approx(whole, abs=1e-6)


def test_two_processes_train_to_the_weights_and_losses_of_one(one, two, notes):
    """In float64, with frozen batch norm and no dropout, nothing but the order of summation differs."""
    expected, weights = (load_file(folder / "sharp" / "model.safetensors") for folder in (one, notes))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-9, atol=1e-12)
    lines, ours = (
        json.loads((folder / "sharp" / "metrics.json").read_text())["training"]["history"] for folder in (one, notes)
    )
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in lines], abs=1.1e-4)  # 4 digits


def test_a_gradient_that_is_not_finite_in_one_process_is_skipped_by_all(two, notes):
    scales = [process["state"]["scaler"]["scale"] for process in seen(notes, "sharp")]
    assert scales == [32768.0, 32768.0]  # halved once
    history = json.loads((notes / "sharp" / "metrics.json").read_text())["training"]["history"]
    assert [line["skipped_steps"] for line in history] == [0, 1]


@pytest.mark.parametrize("name", ["sharp", "live", "resumed"])
def test_all_processes_end_with_the_same_state(two, notes, name):
    """The draws of dropout differ, and each share has its own statistics, yet nothing drifts apart."""
    first, second = seen(notes, name)
    assert not set(first["seeds"]) & set(second["seeds"])
    for part in ("model", "average"):
        assert first["state"][part].keys() == second["state"][part].keys()
        for key, value in first["state"][part].items():
            assert torch.equal(value, second["state"][part][key]), key


def test_an_interrupted_run_of_two_resumes_to_the_same_weights_bit_for_bit(two, notes):
    weights = [(notes / name / "model.safetensors").read_bytes() for name in ("live", "stopped")]
    assert weights[0] == weights[1]


def test_only_the_first_process_speaks(two, notes):
    assert two.stderr.count("--batch 9 cannot be dealt out evenly to 2 processes") == 1
    assert "Give a multiple of 2, for example 8 or 10." in two.stderr
    # named by its folder: torchrun ends the first process of the run that fails, which may then say so of that one
    assert two.stderr.count("train.fit: interrupted; the whole epochs are kept in ") == 1
    assert f"kept in {notes / 'stopped' / 'checkpoint.pt'}" in two.stderr
    assert two.stdout.count(" validation images; cpu, ") == 5
    assert two.stdout.count('{"epoch": 1,') == 3 and two.stdout.count("model folder:") == 3


def test_a_process_that_fails_takes_the_others_along(two, notes):
    assert two.returncode != 0 and not (notes / "die" / "checkpoint.pt").exists()


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), (None, 2)])
def test_resume_refuses_another_number_of_processes(tmp_path, before, now):
    """Each draws its own dropout and normalises its own share: with another number it would be another run."""
    options = parse_options(["--data", "x", "--out", str(tmp_path), *ddp_worker.LIVE, "--resume"])
    kept = plain(replace(options, processes=before))
    if before is None:  # as runs were kept before several processes could train
        del kept["processes"]
    torch.save({"options": kept, "split": "s", "history": []}, tmp_path / "checkpoint.pt")
    with pytest.raises(FitError, match=f"another run .processes {before or 1} -> {now}"):
        read_checkpoint({}, replace(options, processes=now), "s")


def test_each_process_takes_its_own_gpu_and_lacking_ones_are_counted(monkeypatch):
    group = Processes(rank=1, size=2, local_rank=1, local_size=2)
    assert pick_device("cpu", group) == torch.device("cpu")
    with pytest.raises(FitError, match="--device 'cuda:1' is one GPU, but there are 2 processes"):
        pick_device("cuda:1", group)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("auto", "cuda"):
        with pytest.raises(FitError, match="2 processes need a GPU each, and this machine has 1. Start at most 1 with"):
            pick_device(name, group)
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert pick_device("auto", group) == torch.device("cuda:1") == chosen[0]


def test_on_a_gpu_batch_norm_is_synchronised_and_keeps_its_activation(monkeypatch):
    monkeypatch.setattr(processes, "DistributedDataParallel", lambda model, device_ids: (model, device_ids))
    model, x = build_model("none"), torch.randn(2, 3, 32, 32)
    expected, parameters = model.eval()(x), list(model.parameters())
    wrapped, ids = Processes(size=2).parallel(model, torch.device("cuda:1"))
    assert wrapped is model and ids == [1]
    kinds = {type(m) for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)}
    assert kinds == {SyncBatchNormAct}
    assert torch.equal(model.eval()(x), expected)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))


def test_running_statistics_are_averaged_not_summed(monkeypatch):
    monkeypatch.setattr(processes.dist, "all_reduce", lambda flat: flat.add_(3))  # as if another had 3 everywhere
    layer = torch.nn.BatchNorm2d(2)
    Processes(size=2).average_statistics(layer)
    assert layer.running_mean.tolist() == [1.5, 1.5] and layer.running_var.tolist() == [2, 2]
    Processes().average_statistics(layer)
    assert layer.running_mean.tolist() == [1.5, 1.5]
