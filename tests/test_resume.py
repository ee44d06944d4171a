"""Runs that are interrupted, killed, or find the disk full: what they leave behind, what they say, how they go on."""

import contextlib
import errno
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from skin_lesion.model import WEIGHTS, ModelError, load
from train import checkpoint, files, loop
from train.cache import load_images
from train.data import DataError, read_ham10000
from train.options import FitError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the commands run; they keep their decoded images there."""
    return tmp_path_factory.mktemp("place")


def start(command, place):
    return subprocess.Popen(
        command,
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as in a terminal: whatever runs the tests in the background may have switched Ctrl-C off
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def fit_command(dataset, out):
    arguments = ["--data", str(dataset), "--out", str(out), *tiny.COMMON, *tiny.THREE_EPOCHS]
    return [sys.executable, "-m", "train.fit", *arguments]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@contextlib.contextmanager
def full_disk(size=1_000_000):
    """No file of this process can grow beyond so many bytes: as on a full disk, a part is written, then it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_within_an_epoch_and_resumed_it_ends_with_the_same_weights(trained, dataset, tmp_path, place, number):
    out = tmp_path / "model"
    command = fit_command(dataset, out)
    run = start(command, place)
    while not (out / "checkpoint.pt").exists() and run.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)  # into the second epoch
    run.send_signal(number)
    _, said = run.communicate()
    assert not (out / "model.safetensors").exists()
    if number == signal.SIGKILL:
        assert run.returncode == -number
    else:
        assert run.returncode == 128 + number
        assert said == (
            f"\ntrain.fit: interrupted; the whole epochs are kept in {out}/checkpoint.pt. To go on:\n"
            f"  {shlex.join([*command, '--resume'])}\n"
        )
    if number == signal.SIGINT:
        assert start(shlex.split(said.splitlines()[-1]), place).wait() == 0
    else:
        loop.fit(tiny.options(dataset, out, *tiny.THREE_EPOCHS, "--resume"))
    assert weights(out) == weights(trained)
    assert {p.name for p in out.iterdir()} == {"README.md", "config.json", "metrics.json", "model.safetensors"}


def test_interrupted_within_the_first_epoch_it_says_that_nothing_is_kept(dataset, tmp_path, place):
    command = fit_command(dataset, tmp_path / "a model")
    run = start(command, place)
    assert run.stdout.readline().startswith("split ")
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate()
    assert run.returncode == 143
    assert said == (
        "\ntrain.fit: interrupted; no epoch was whole yet, so nothing of it is kept. To start again:\n"
        f"  {shlex.join(command)}\n"
    )


def test_a_disk_full_at_a_checkpoint_and_at_the_end_costs_no_epoch(trained, dataset, tmp_path, monkeypatch):
    out = tmp_path / "model"
    go = tiny.options(dataset, out, *tiny.THREE_EPOCHS)
    go_on = tiny.options(dataset, out, *tiny.THREE_EPOCHS, "--resume")
    save, save_folder = loop.save_checkpoint, loop.save_model_folder

    def save_into_full_disk(state, options, split_id, history, *weights):
        with full_disk() if len(history) == 2 else contextlib.nullcontext():
            save(state, options, split_id, history, *weights)

    def save_folder_into_full_disk(*args, **kwargs):
        with full_disk():
            save_folder(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_into_full_disk)
        with pytest.raises(
            FitError,
            match=r"checkpoint of epoch 2, 6\d MB, cannot be written to .*checkpoint.pt \(File too large\); the epochs "
            "before are kept in .*checkpoint.pt. Make room there, then give the same command with --resume",
        ):
            loop.fit(go)
    assert [p.name for p in out.iterdir()] == ["checkpoint.pt"]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_model_folder", save_folder_into_full_disk)
        with pytest.raises(FitError, match="model folder .* cannot be written .*File too large.* with --resume"):
            loop.fit(go_on)
    assert {p.name for p in out.iterdir()} == {"checkpoint.pt", "README.md"}
    with pytest.raises(ModelError, match="lacks config.json"):
        load(f"local-dir:{out}")
    loop.fit(go_on)
    assert weights(out) == weights(trained)


def test_weights_are_in_place_only_when_all_else_is(model_folder, tmp_path, monkeypatch):
    """A kill between two files of the model folder leaves no model."""
    replace, moved = os.replace, []

    def replace_watched(source, target):
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", replace_watched)
    loop.save_model_folder(load(f"local-dir:{model_folder}").model, tmp_path, 64, split={})
    assert [name for name in moved if not name.endswith(".partial")][-3:] == [
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_at_the_first_checkpoint_is_named(dataset, tmp_path):
    """/dev/full answers as a full disk does."""
    (tmp_path / "checkpoint.pt.partial").symlink_to("/dev/full")
    options = tiny.options(dataset, tmp_path, *tiny.THREE_EPOCHS)
    with pytest.raises(
        FitError, match=r"\(No space left on device\); no epoch is kept yet. Make room there, then give"
    ):
        checkpoint.save_checkpoint({}, options, "s", [{}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch, fails):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_text("old")
    if fails != "write":
        monkeypatch.setattr(files.os, fails, full)
    with pytest.raises(OSError, match="No space left"):
        with files.whole(tmp_path / "file") as partial:
            partial.write_text("half")
            if fails == "write":
                full()
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_disk_too_full_for_the_decoded_images_is_named(dataset, tmp_path):
    with full_disk(), pytest.raises(DataError, match=r"decoded images, 0.0 GB, cannot be written to .*File too large"):
        load_images(read_ham10000(dataset), 224, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def kept(dataset, tmp_path):
    """Options that resume, the state they are for, and its checkpoint."""
    options = tiny.options(dataset, tmp_path, *tiny.THREE_EPOCHS, "--resume")
    state = {"model": torch.nn.Linear(100, 100), "average": None}
    checkpoint.save_checkpoint(state, options, "s", [{"epoch": 1}])
    return options, state


def test_a_checkpoint_is_read_as_it_was_written(kept):
    options, state = kept
    saved = checkpoint.read_checkpoint(state, options, "s")
    fresh = {"model": torch.nn.Linear(100, 100), "average": None}
    assert checkpoint.restore(fresh, saved) == [{"epoch": 1}]
    assert torch.equal(fresh["model"].weight, state["model"].weight)
    with pytest.raises(FitError, match="another run .split s -> t"):
        checkpoint.read_checkpoint(state, options, "t")
    with pytest.raises(FitError, match="cannot be read as a checkpoint of train.fit .it lacks scaler"):
        checkpoint.read_checkpoint(state | {"scaler": state["model"]}, options, "s")


def test_a_checkpoint_from_before_an_option_was_there_is_of_a_run_without_it(kept):
    options, state = kept
    saved = torch.load(options.checkpoint)
    for name in ("processes", "teacher", "disturb", "freeze"):
        del saved["options"][name]
    torch.save(saved, options.checkpoint)
    assert checkpoint.read_checkpoint(state, options, "s")["history"] == [{"epoch": 1}]
    with pytest.raises(FitError, match="another run .freeze 0 -> 3"):
        checkpoint.read_checkpoint(state, replace(options, freeze=3), "s")


def other_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "Dear reader")


def flip_a_bit(path):
    data = np.fromfile(path, np.uint8)
    data[len(data) // 2] ^= 1  # within the weights: torch.load alone does not notice
    data.tofile(path)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a checkpoint"),
    "another archive": other_archive,
    "a bit flipped": flip_a_bit,
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_refused(kept, damage):
    options, state = kept
    damage(options.checkpoint)
    with pytest.raises(
        FitError,
        match=r"--resume: .*checkpoint.pt cannot be read as a checkpoint of train.fit \(.+\). "
        "Put back a copy of it, or delete it and start anew without --resume",
    ):
        checkpoint.read_checkpoint(state, options, "s")


def test_resume_refuses_a_checkpoint_of_another_run(dataset, tmp_path, monkeypatch):
    save = loop.save_checkpoint

    def save_then_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(tiny.options(dataset, tmp_path, "--schedule", "1@32"))
    with pytest.raises(FitError, match="another run .*seed 0 -> 7"):
        loop.fit(tiny.options(dataset, tmp_path, "--schedule", "1@32", "--seed", "7", "--resume"))


def test_resume_refuses_other_weights_of_the_same_name(dataset, trained, tmp_path, monkeypatch):
    save = loop.save_checkpoint
    folders = [shutil.copytree(trained, tmp_path / name / "model") for name in ("one", "other")]
    weights = load_file(folders[1] / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folders[1] / WEIGHTS)

    def save_then_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_then_stop)
    for i, more in enumerate((["--teacher", "{}"], ["--init", "{}/model.safetensors"])):
        one, other = ([part.format(folder) for part in more] for folder in folders)
        with pytest.raises(KeyboardInterrupt):
            loop.fit(tiny.options(dataset, tmp_path / f"{i}", "--schedule", "2@32", *one))
        with pytest.raises(FitError, match="another run .other weights under the names of --init and --teacher"):
            loop.fit(tiny.options(dataset, tmp_path / f"{i}", "--schedule", "2@32", *other, "--resume"))


def test_a_run_that_is_not_there_is_said_so_before_any_image_is_read(tmp_path):
    with pytest.raises(FitError, match="there is no .*checkpoint.pt"):
        loop.fit(tiny.options(tmp_path / "no data", tmp_path, "--schedule", "1@32", "--resume"))


def test_an_unfinished_run_is_not_overwritten_unasked(dataset, tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(FitError, match="unfinished run. Add --resume"):
        loop.fit(tiny.options(dataset, tmp_path, "--schedule", "1@32"))
