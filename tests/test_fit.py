import copy
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import options

from skin_lesion.model import WEIGHTS, load
from train import files, fit, loop, start
from train.cache import load_images
from train.data import DataError, read_ham10000
from train.device import pick_device, place
from train.options import FitError, parse_options
from train.processes import Processes
from train.split import fingerprint, split


def test_training_writes_a_model_folder_that_loads_and_says_how_it_was_made(trained, dataset):
    classifier = load(f"local-dir:{trained}")
    metrics = classifier.metrics
    parts = split(read_ham10000(dataset))
    assert metrics["split"]["fingerprint"] == fingerprint(parts)
    assert metrics["split"]["images"] == {name: len(part) for name, part in parts.items()}
    history = metrics["training"]["history"]
    assert [line["side"] for line in history] == [32, 32, 48]
    assert classifier.predict(read_ham10000(dataset)[0].path).features.shape == (1, 1280, 2, 2)  # 64 px
    assert all(np.isfinite(line["loss"]) for line in history)
    assert metrics["training"]["options"]["schedule"] == [[2, 32], [1, 48]]
    assert "not been evaluated yet" in (trained / "README.md").read_text()
    assert not (trained / "checkpoint.pt").exists()


@pytest.mark.parametrize(("schedule", "input_side"), [(["1@48", "1@32"], "32"), (["1@32", "1@32"], "48")])
def test_images_are_decoded_as_large_as_the_largest_side_of_the_run(
    schedule, input_side, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr("train.options.SIDE", 40)
    seen = []
    for name, at in (("augment", 0), ("predict", 1)):
        call = getattr(loop, name)
        monkeypatch.setattr(loop, name, lambda *a, call=call, at=at, **k: seen.append(a[at].shape) or call(*a, **k))
    loop.fit(options(dataset, tmp_path, "--schedule", *schedule, "--input-side", input_side, "--limit", "16"))
    assert len(seen) == 6 and {shape[1:] for shape in seen} == {(3, 48, 48)}


def test_the_default_recipe_decodes_at_224_px():
    assert parse_options(["--data", "HAM10000"]).decoded_side == 224


def test_a_finished_model_is_not_overwritten(trained, dataset):
    before = (trained / "model.safetensors").read_bytes()
    for more in ([], ["--resume"]):
        with pytest.raises(FitError, match="holds a finished model. Give another --out"):
            loop.fit(options(dataset, trained, "--schedule", "1@32", *more))
    assert (trained / "model.safetensors").read_bytes() == before
    assert (trained / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_an_out_that_is_a_file_is_named(dataset, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FitError, match=r"--out .*file cannot be written \(File exists\)"):
        loop.fit(options(dataset, tmp_path / "file", "--schedule", "1@32"))


def test_weights_that_are_not_finite_end_in_a_clear_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "predict", lambda *_: np.full((14, 7), np.nan))
    with pytest.raises(FitError, match="epoch 1 give answers that are not finite"):
        loop.fit(options(dataset, tmp_path, "--schedule", "1@32"))
    assert not (tmp_path / "checkpoint.pt").exists()


def test_steps_without_finite_gradients_end_in_a_clear_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MAX_SKIPPED", 3)
    monkeypatch.setattr(loop.F, "cross_entropy", lambda logits, *_, **__: logits.sum() * torch.nan)
    with pytest.raises(FitError, match="3 steps in a row .* Lower --lr .now 0.001. or use --amp"):
        loop.fit(options(dataset, tmp_path, "--schedule", "1@32"))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains_to_finite_weights(dataset, tmp_path, amp):
    out = loop.fit(options(dataset, tmp_path, "--schedule", "2@32", "--amp", amp))
    assert load(f"local-dir:{out}").metrics["training"]["history"][-1]["loss"] > 0


def test_frozen_stages_stay_to_the_bit_and_the_others_learn(trained, dataset, tmp_path):
    more = ["--init", str(trained / WEIGHTS), "--schedule", "1@32", "--freeze", "3"]
    out = loop.fit(options(dataset, tmp_path / "frozen", *more))
    before, after = load_file(trained / WEIGHTS), load_file(out / WEIGHTS)
    still = {name for name in before if torch.equal(before[name], after[name])}
    front = {name for name in before if name.startswith(("conv_stem.", "bn1.", "blocks.0.", "blocks.1.", "blocks.2."))}
    assert front <= still and not {name for name in still - front if name.endswith((".weight", "running_mean"))}
    assert "; stem and first 3 stages left as they were; AdamW" in (out / "README.md").read_text()


def test_random_weights_are_not_frozen(dataset, tmp_path):
    with pytest.raises(FitError, match="--freeze 3 would keep what --init none draws at random; give --init imagenet"):
        loop.fit(options(dataset, tmp_path, "--freeze", "3"))


def test_weights_of_another_run_bring_their_history_but_only_on_the_same_split(trained, dataset, tmp_path):
    weights = str(trained / "model.safetensors")
    metrics = load(f"local-dir:{trained}").metrics
    assert start.earlier_training(weights, metrics["split"]["fingerprint"]) == {"before": metrics["training"]}
    with pytest.raises(FitError, match="images held out here may have been trained on there"):
        start.earlier_training(weights, "0" * 16)
    assert start.earlier_training("imagenet", "0" * 16) == {}
    assert start.earlier_training(str(tmp_path / "plain.safetensors"), "0" * 16) == {}


def test_two_runs_do_not_share_a_folder(dataset, tmp_path):
    with files.alone(tmp_path) as free:
        assert free
        with pytest.raises(FitError, match="Another train.fit writes to .*, or give another --out"):
            loop.fit(options(dataset, tmp_path))
    with files.alone(tmp_path) as free:
        assert free


def test_cache_notices_changed_and_damaged_images(dataset, tmp_path):
    import shutil

    copy = shutil.copytree(dataset, tmp_path / "ham")
    records = read_ham10000(copy)
    first = np.array(load_images(records, 32, folder=tmp_path / "cache"))
    assert first.shape == (84, 3, 32, 32)
    shutil.copyfile(records[50].path, records[0].path)
    second = load_images(records, 32, folder=tmp_path / "cache")
    assert np.array_equal(second[0], first[50]) and np.array_equal(second[1:], first[1:])
    for file in (tmp_path / "cache").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataError, match="npy, the decoded images, is damaged .*; delete it, and it is made again"):
        load_images(records, 32, folder=tmp_path / "cache")
    records[2].path.write_bytes(b"no image")
    with pytest.raises(DataError, match=f"{records[2].path}: This file is not an image"):
        load_images(records, 32, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule", "ten@128"], "is not EPOCHS@PIXELS"),
        (["--schedule", "3@8"], "is not EPOCHS@PIXELS"),
        (["--schedule", "99999999999@64"], "(1 to 10,000 epochs, 32 to 1024 px)"),
        (["--lr", "-1"], "'-1' is not a number from 1e-08 to 1"),
        (["--batch", "many"], "'many' is not a number from 2 to 4096"),
        (["--amp", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_bad_options_are_named_with_the_valid_ones(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse_options(["--data", "x", *arguments])
    assert message in capsys.readouterr().err


def test_bad_init_and_device_are_named(tmp_path):
    with pytest.raises(FitError, match="neither 'imagenet' nor 'none'"):
        start.build_model(str(tmp_path / "absent.safetensors"))
    for device in ("tpu", "meta"):
        with pytest.raises(FitError, match=f"--device '{device}' cannot be used. Here: cpu"):
            pick_device(device, Processes())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{data}", "--init", "absent.safetensors"], "--init 'absent.safetensors' is neither"),
        (["--data", "nowhere"], "There is no folder"),
    ],
)
def test_bad_init_and_missing_data_are_a_message_not_a_traceback(
    dataset, tmp_path, monkeypatch, capsys, arguments, message
):
    command = ["train.fit", *(a.format(data=dataset) for a in arguments), "--schedule", "1@32", "--batch", "8"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "out")])
    monkeypatch.setattr(fit.signal, "signal", lambda *_: None)  # its way to end on SIGTERM is not for the tests
    assert fit.main() == 1
    said = capsys.readouterr().err
    assert said.startswith(f"train.fit: {message}") and "Traceback" not in said


def test_help_does_not_wait_for_torch():
    command = [sys.executable, "-X", "importtime", "-m", "train.fit", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--schedule" in out.stdout and not re.search(r"\|\s+torch$", out.stderr, re.M)


def test_learning_rate_warms_up_then_falls_to_zero():
    factors = [loop._schedule(e / 10, warmup=1, epochs=10) for e in range(101)]
    assert factors[0] < 0.02 and factors[10] == pytest.approx(1)
    assert factors[100] == pytest.approx(0, abs=1e-9)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


def test_depthwise_convolutions_compute_in_float32_on_the_cpu_and_nothing_else_changes():
    model = start.build_model("none").eval()
    names, x = set(model.state_dict()), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
    placed = place(model, torch.device("cpu"), "bf16")
    weight = placed.blocks[1][0].conv_dw.weight  # the first of stride 2
    with torch.autocast("cpu", torch.bfloat16):
        mixed = placed(x)
    mixed.float().sum().backward()
    assert weight.grad.dtype is torch.float32 and set(placed.state_dict()) == names
    with torch.no_grad():
        torch.testing.assert_close(placed(x), before)


def test_depthwise_convolutions_round_nothing_inside():
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(8, 8, 3, groups=8, bias=False)
    placed = place(torch.nn.Sequential(copy.deepcopy(plain)), torch.device("cpu"), "bf16")
    x = torch.randn(1, 8, 9, 9).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        got = placed(x)
    assert torch.equal(got, plain(x.float()).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(got, plain(x))  # the weights rounded too: otherwise this test could not fail


@pytest.mark.parametrize(("device", "amp"), [("cpu", "off"), ("meta", "bf16")])
def test_elsewhere_depthwise_convolutions_stay_as_they_are(device, amp):
    model = place(start.build_model("none"), torch.device(device), amp)
    assert {type(m) for m in model.modules() if isinstance(m, torch.nn.Conv2d)} == {torch.nn.Conv2d}


def test_mixup_mixes_images_and_labels_alike_and_repeats_with_the_seed(dataset, tmp_path, monkeypatch):
    seen = []
    cross_entropy = loop.F.cross_entropy
    monkeypatch.setattr(loop.F, "cross_entropy", lambda x, y, **k: seen.append(y) or cross_entropy(x, y, **k))
    for name in ("one", "two"):
        loop.fit(options(dataset, tmp_path / name, "--schedule", "1@32", "--mixup", "1"))
    assert all(y.shape == (8, 7) and torch.allclose(y.sum(1), torch.ones(8)) for y in seen)
    assert any(((y > 0.1) & (y < 0.9)).any() for y in seen)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_mixup_needs_pairs(dataset, tmp_path):
    with pytest.raises(FitError, match="--batch 7 leaves one over. Give a multiple of 2"):
        loop.fit(options(dataset, tmp_path, "--batch", "7", "--mixup", "0.2"))


def test_a_folder_with_other_files_is_no_out(dataset, tmp_path):
    (tmp_path / "README.md").write_text("precious")
    with pytest.raises(FitError, match=r"holds other files, which could be overwritten: README.md. Give a new folder"):
        loop.fit(options(dataset, tmp_path, "--schedule", "1@32"))
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"] and (tmp_path / "README.md").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "x", "--out", ""], "argument --out: '' is an empty path; name a file or folder"),
        (["--data", ""], "argument --data: name the HAM10000 folder, or set the variable HAM10000_DIR to it"),
        ([], "argument --data: name the HAM10000 folder, or set the variable HAM10000_DIR to it"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(monkeypatch, capsys, arguments, message):
    monkeypatch.delenv("HAM10000_DIR", raising=False)
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert message in capsys.readouterr().err


def test_a_run_whose_every_step_was_skipped_is_no_model(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(FitError, match="None of the 7 steps had finite gradients, so nothing was learned"):
        loop.fit(options(dataset, tmp_path, "--schedule", "1@32"))
    assert not (tmp_path / "model.safetensors").exists()


def test_weights_given_as_a_folder_are_named(tmp_path):
    with pytest.raises(FitError, match=f"--init {tmp_path} is a folder; give the file.*model.safetensors"):
        start.build_model(str(tmp_path))
