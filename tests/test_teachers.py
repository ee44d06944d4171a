import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import SIDE, options

from skin_lesion.model import load
from train import calibrate, loop
from train.batches import copies_of
from train.card import model_card
from train.device import place
from train.folder import write_json
from train.options import FitError
from train.teachers import Teachers, _Teacher, load_teachers
from train.validate import normalisation

CPU = torch.device("cpu")
SHARE = torch.tensor([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])


@pytest.fixture(scope="module")
def split_id(trained):
    return load(f"local-dir:{trained}").metrics["split"]["fingerprint"]


def unsure(folder, copy):
    """The folder with logits of a hundredth: so few epochs may end in answers that are all 0 and 1, all alike."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    save_file({k: v * 0.01 if "classifier" in k else v for k, v in weights.items()}, copy / "model.safetensors")
    return copy


def images(count=4):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def asked(folders, split_id, share=SHARE, seed=0, side=SIDE):
    """What a student of these teachers is taught of images()."""
    teachers, _ = load_teachers(folders, side, split_id, share, CPU, "off")
    return teachers(images(), torch.Generator().manual_seed(seed))


def test_targets_are_probabilities_under_the_class_shares_of_training_in_an_orientation_at_random(
    trained, split_id, tmp_path
):
    """Trained with logit adjustment 1, so softmax(z + log share) is what the teacher believes."""
    folder = unsure(trained, tmp_path / "model")
    model = load(f"local-dir:{folder}").model.to(memory_format=torch.channels_last)  # as the teachers add up
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalisation(model))
    turned = [x.rot90(turns, (2, 3)) for x in (images(), images().flip(3)) for turns in range(4)]
    expected = [
        (model(((x - mean) / std).contiguous(memory_format=torch.channels_last)) + SHARE.log()).softmax(1)
        for x in turned
    ]
    teachers, _ = load_teachers([folder], SIDE, split_id, SHARE, CPU, "off")
    found = [teachers(images(), torch.Generator().manual_seed(seed)) for seed in range(40)]
    nearest = [min(range(8), key=lambda i: (expected[i] - answers).abs().max()) for answers in found]
    assert all(torch.allclose(answers, expected[i], atol=1e-5) for i, answers in zip(nearest, found, strict=True))
    assert set(nearest) == set(range(8))


@pytest.fixture
def seen(monkeypatch):
    """What each teacher is given."""
    given = []
    forward = _Teacher.forward
    monkeypatch.setattr(_Teacher, "forward", lambda self, x: given.append(x) or forward(self, x))
    return given


def test_each_teacher_sees_the_images_enlarged_or_reduced_as_its_input_side_is_to_the_students(trained, split_id, seen):
    for side in (SIDE, 2 * SIDE, SIDE // 2):  # of the student, whose images are of 64 px in this phase
        asked([trained], split_id, side=side)
    assert [x.shape[-1] for x in seen] == [64, 32, 128]
    assert (seen[2].mean((2, 3)) - images().mean((2, 3))).abs().max() < 0.02


def test_each_teacher_has_an_orientation_of_its_own(trained, split_id, seen):
    for seed in range(5):
        asked([trained, trained], split_id, seed=seed)
    assert len(seen) == 10 and any(not torch.equal(one, two) for one, two in zip(seen[::2], seen[1::2], strict=True))


def test_calibration_does_not_change_what_is_taught(trained, dataset, split_id, tmp_path, monkeypatch):
    plain = unsure(trained, tmp_path / "plain")
    folder = shutil.copytree(plain, tmp_path / "calibrated")
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    monkeypatch.setattr(calibrate, "class_share", lambda training: SHARE.numpy())
    calibrate.calibrate(folder, dataset, prior=0.5)
    metrics = load(f"local-dir:{folder}").metrics
    assert metrics["calibration"]["temperature"] == 2 and metrics["calibration"]["prior"] == 0.5
    before, after = (asked([f], split_id) for f in (plain, folder))
    assert torch.allclose(before, after, atol=1e-4)


def test_several_teachers_are_averaged(trained, split_id, tmp_path, monkeypatch):
    folders = [unsure(trained, tmp_path / name) for name in ("one", "two")]
    metrics = json.loads((folders[1] / "metrics.json").read_text())
    metrics["training"]["options"]["adjust"] = 0.0
    write_json(folders[1] / "metrics.json", metrics)
    monkeypatch.setattr(torch.Tensor, "rot90", lambda x, turns, dims: x)
    monkeypatch.setattr(torch.Tensor, "flip", lambda x, dims: x)
    one, two, both = (asked(some, split_id) for some in (folders[:1], folders[1:], folders))
    assert not torch.allclose(one, two, atol=0.01) and torch.allclose(both, (one + two) / 2, atol=1e-6)


def test_the_student_learns_the_teachers_answers_and_the_card_says_so(trained, dataset, tmp_path, monkeypatch):
    seen = []
    cross_entropy = loop.F.cross_entropy
    monkeypatch.setattr(loop.F, "cross_entropy", lambda x, y, **k: seen.append(y) or cross_entropy(x, y, **k))
    told = []
    forward = Teachers.forward
    monkeypatch.setattr(Teachers, "forward", lambda *given: told.append(forward(*given)) or told[-1])
    more = ["--schedule", "1@32", "--disturb", "1", "--teacher", str(trained)]
    out = loop.fit(options(dataset, tmp_path / "student", *more))
    assert len(seen) == len(told) > 0 and all(torch.equal(a, b) for a, b in zip(seen, told, strict=True))
    metrics = json.loads((out / "metrics.json").read_text())
    (teacher,) = metrics["training"]["teachers"]
    assert teacher["training"] == json.loads((trained / "metrics.json").read_text())["training"]
    assert teacher["weights"] == load(f"local-dir:{trained}").revision
    assert metrics["training"]["options"]["teacher"] == [trained.name]
    card = model_card(metrics)
    assert "blur, sharpening and noise of strength 1; learnt from the answers of 1 model" in card


def test_the_teachers_see_the_image_that_the_student_sees_compressed_once_more_and_disturbed(
    trained, dataset, tmp_path, monkeypatch
):
    def views(name, copies, *more):
        """What the teachers and the student of one run were given, where training has these copies."""
        seen = {"teachers": [], "student": []}
        monkeypatch.setattr(loop, "copies_of", lambda *a: copies(copies_of(*a)))

        class Watched(Teachers):
            def forward(self, x, generator):
                seen["teachers"].append(x.clone())
                return super().forward(x, generator)

        monkeypatch.setattr("train.teachers.Teachers", Watched)
        monkeypatch.setattr(loop, "place", lambda model, *a: watch(place(model, *a), seen["student"]))
        more = ["--schedule", "1@32", "--mixup", "0.2", "--teacher", str(trained), *more]
        loop.fit(options(dataset, tmp_path / name, *more))
        return [torch.stack(x) for x in seen.values()]

    def watch(model, seen):
        model.register_forward_pre_hook(
            lambda module, x: seen.append(x[0].detach().clone()) if module.training else None
        )
        return model

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalisation(load(f"local-dir:{trained}").model))
    teachers, student = views("same", lambda copies: [copies[0], copies[0]])
    assert len(teachers) > 0 and torch.allclose((teachers - mean) / std, student, atol=1e-5)
    again, dark = views("dark", lambda copies: [copies[0], np.zeros_like(copies[0])])
    assert torch.equal(again, teachers)
    assert not torch.allclose(dark, student, atol=0.1)
    undisturbed, noisy = views("noisy", lambda copies: [copies[0], copies[0]], "--disturb", "1")
    assert torch.equal(undisturbed[0], teachers[0]) and 0.01 < (noisy[0] - student[0]).abs().mean() < 0.2


def test_teachers_that_cannot_teach_are_named(trained, dataset, split_id, model_folder, tmp_path):
    with pytest.raises(FitError, match="--teacher .* was trained on split .* this run has 0000"):
        load_teachers([trained], SIDE, "0" * 16, SHARE, CPU, "off")
    with pytest.raises(FitError, match="--teacher: There is no model folder"):
        load_teachers([tmp_path / "no"], SIDE, split_id, SHARE, CPU, "off")
    with pytest.raises(FitError, match="has no metrics.json of train.fit"):
        load_teachers([model_folder], SIDE, split_id, SHARE, CPU, "off")
    assert load_teachers([], SIDE, split_id, SHARE, CPU, "off") == (None, {})
