import copy
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from captum.attr import LayerGradCam
from PIL import Image
from torchcam.methods import GradCAM
from torchvision.transforms.functional import to_tensor

from skin_lesion import explain, load
from skin_lesion.classes import CODES
from skin_lesion.explain import METHODS, upsample
from skin_lesion.images import open_image
from skin_lesion.overlay import MAX_SIDE, overlay, render
from skin_lesion.predict import Classifier, Prediction

CELLS = tiny.UNTRAINED // 32  # of the last feature map, in a row
EXAMPLES = Path(__file__).parents[1] / "examples"


def hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_equals_the_closed_form_for_all_seven_classes(classifier, image):
    """Average pooling and a linear head make Grad-CAM relu(sum_k W[c, k] A_k) / (H W)."""
    prediction = classifier.predict(image)
    weights = classifier.model.classifier.weight  # (7, 1280)
    expected = torch.einsum("ck,khw->chw", weights, prediction.features[0]).relu() / CELLS**2
    explanations = explain.explain(classifier, prediction)
    assert list(explanations) == list(CODES)
    for i, code in enumerate(CODES):
        e = explanations[code]
        assert e.heat.shape == (CELLS, CELLS) and e.heat.min() >= 0 and e.heat.max() <= 1
        assert np.allclose(e.heat * e.peak, expected[i].numpy(), atol=1e-5)


def test_equals_captum_on_the_whole_model(classifier, image):
    """Explaining from the kept features gives what Captum gives on bn2 of the whole network."""
    x = classifier.transform(image).unsqueeze(0).requires_grad_()
    cam = LayerGradCam(classifier.model, classifier.model.bn2)
    prediction = classifier.predict(image)
    for i in (0, 4):
        whole = cam.attribute(x, target=i, relu_attributions=True)[0, 0].detach().numpy()
        e = explain.explain(classifier, prediction, [CODES[i]])[CODES[i]]
        assert np.allclose(e.heat * e.peak, whole, atol=1e-5)


class _TwoChannels(torch.nn.Module):
    """Features pass through; class c scores the mean of channel 0 times c plus the mean of channel 1 times -1."""

    def forward_features(self, x):
        return x

    def forward_head(self, features):
        means = features.mean((2, 3))  # (B, 2)
        return means[:, :1] * torch.arange(7.0) - means[:, 1:]


def by_hand(features: torch.Tensor) -> tuple[Classifier, Prediction]:
    model = _TwoChannels()
    logits = model.forward_head(features)[0]
    probabilities = dict(zip(CODES, logits.softmax(0).tolist(), strict=True))
    return Classifier(model, None, "test", "0", {}), Prediction(probabilities, logits, features, features, "test", "0")


def test_worked_by_hand():
    """A0 = [[8, 0], [4, 0]], A1 = [[0, 4], [4, 0]]; class 2: gradients (2, -1) / 4.

    map = relu((2 A0 - A1) / 4) = [[4, 0], [1, 0]], so heat = [[1, 0], [0.25, 0]] and peak 4.
    Class 0: relu(-A1 / 4) = 0 everywhere.
    """
    features = torch.tensor([[[[8.0, 0.0], [4.0, 0.0]], [[0.0, 4.0], [4.0, 0.0]]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanations = explain.explain(*by_hand(features), ["bkl", "akiec"])
    assert explanations["bkl"].heat.tolist() == [[1, 0], [0.25, 0]]
    assert explanations["bkl"].peak == 4
    assert explanations["akiec"].heat.tolist() == [[0, 0], [0, 0]]
    assert explanations["akiec"].peak == 0


@pytest.fixture
def heads(monkeypatch):
    """Every head that gradcam makes for Captum to hook."""
    made = []

    class Kept(explain._Head):
        def __init__(self, model):
            super().__init__(model)
            made.append(self)

    monkeypatch.setattr(explain, "_Head", Kept)
    return made


def test_no_hook_is_left_behind(classifier, image, heads):
    explain.explain(classifier, classifier.predict(image))
    assert len(heads) == 1 and hooks(heads[0]) == 0 and hooks(classifier.model) == 0


def test_no_hook_is_left_behind_after_an_error(heads):
    classifier, prediction = by_hand(torch.ones(1, 2, 2, 2))
    seen = []

    def fail(features):
        seen.append(hooks(heads[0]))
        raise RuntimeError("broken head")

    classifier.model.forward_head = fail
    with pytest.raises(RuntimeError, match="broken head"):
        explain.explain(classifier, prediction)
    assert seen[0] >= 1 and hooks(heads[0]) == 0


def test_a_rendered_map_says_what_it_is_and_large_images_are_shrunk(classifier):
    wide = Image.new("RGB", (3000, 300), "pink")
    explanation = explain.explain(classifier, classifier.predict(wide))["mel"]
    page = render(wide, explanation)
    assert page.width == MAX_SIDE
    strip = np.asarray(page)[205:]
    assert strip.min() < 100 and strip.max() == 255  # dark text on white


def test_under_a_very_narrow_image_the_strip_can_still_be_read():
    explanation = explain.Explanation("mel", 0.5, np.ones((2, 2), np.float32), 1.0)
    page = np.asarray(render(Image.new("RGB", (32, 4000), "black"), explanation))
    dark = (page[:2048].max(axis=2) < 250).any(0)
    assert (
        page.shape[1] >= 100 and not dark[:20].any() and not dark[-20:].any() and dark.any()
    )  # it stands in the middle
    assert (page[2060:, :10].min() < 100).any() and page.shape[0] > 2048 + 100  # the strip begins at the left


def test_the_image_without_the_map_can_stand_beside_it(image):
    explanation = explain.Explanation("mel", 0.5, np.ones((2, 2), np.float32), 1.0)
    both, alone = (np.asarray(render(image, explanation, beside=beside)) for beside in (True, False))
    height, width = np.asarray(image).shape[:2]
    assert np.array_equal(both[:height, :width], np.asarray(image))
    assert np.array_equal(both[:height, -width:], alone[:height])


def test_unknown_method_lists_the_valid_ones(classifier, image):
    for call in (explain.steps, explain.check_method):
        with pytest.raises(ValueError, match="'gradcam\\+\\+'.*gradcam, finer, integrated_gradients, occlusion"):
            call("gradcam++")
    prediction = classifier.predict(image)
    with pytest.raises(ValueError, match="'lime'.*gradcam, finer"):
        explain.explain(classifier, prediction, ["mel"], "lime", image)
    with pytest.raises(ValueError, match="'occlusion' asks the model .* give it as image="):
        explain.explain(classifier, prediction, ["mel"], "occlusion")


def test_the_fine_map_worked_out_step_by_step(classifier, image):
    """Grad-CAM, enlarged, times the positive part of gradient x activation at blocks.4, by plain autograd."""
    model, x = classifier.model, classifier.transform(image).unsqueeze(0)
    prediction = classifier.predict(image)
    middle = model.blocks[:5](model.bn1(model.conv_stem(x))).detach().requires_grad_()
    model.forward_head(model.bn2(model.conv_head(model.blocks[5:](middle))))[0, 4].backward()
    fine = (middle * middle.grad).clamp(min=0).sum(1, keepdim=True)
    coarse = explain.explain(classifier, prediction, ["mel"])["mel"]
    grown = torch.nn.functional.interpolate(
        torch.tensor(coarse.heat * coarse.peak)[None, None], (2 * CELLS, 2 * CELLS), mode="bilinear"
    )
    found = explain.explain(classifier, prediction, ["mel"], "finer")["mel"]
    assert np.allclose(found.heat * found.peak, (fine * grown)[0, 0].detach().numpy(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_methods_that_ask_the_whole_model_count_their_questions_and_can_be_stopped(classifier, image, method):
    prediction, asked = classifier.predict(image), []
    found = explain.explain(classifier, prediction, ["mel", "nv"], method, image, lambda: asked.append(1))
    assert len(asked) == 2 * explain.steps(method) and explain.steps("gradcam") == 0
    assert found["mel"].heat.shape == (tiny.UNTRAINED, tiny.UNTRAINED) and found["mel"].layer == "input"

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        explain.explain(classifier, prediction, ["mel"], method, image, stop)


class _Quadrant(torch.nn.Module):
    """Class mel scores the sum of the top left quarter of the first channel; the others score 0."""

    def forward(self, x):
        quarter = x[:, 0, : x.shape[2] // 2, : x.shape[3] // 2].sum((1, 2))
        return torch.stack([quarter * (code == "mel") for code in CODES], 1)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_model_that_looks_at_one_quarter_is_explained_by_that_quarter(method):
    pixels = np.zeros((48, 48, 3), np.uint8)
    pixels[8:16, 8:16] = pixels[32:40, 32:40] = 255  # two white squares, of which the model sees one
    picture = Image.fromarray(pixels)
    classifier = Classifier(_Quadrant(), to_tensor, "", "", {})
    prediction = Prediction(dict.fromkeys(CODES, 1 / 7), *[torch.zeros(1)] * 3, "", "")
    found = explain.explain(classifier, prediction, ["mel", "nv"], method, picture)
    row, column = np.unravel_index(found["mel"].heat.argmax(), (48, 48))
    assert 4 <= row < 20 and 4 <= column < 20
    assert found["mel"].heat[30:, 30:].max() < 0.02
    assert found["nv"].peak == 0 and not found["nv"].heat.any()


@pytest.mark.skipif("HAM10000_DIR" not in os.environ, reason="HAM10000_DIR is not set")
def test_equals_torchcam_on_20_real_images():
    """An independent implementation, for the same layer and class, within 1e-4 of each map's maximum."""
    files = sorted(Path(os.environ["HAM10000_DIR"]).glob("HAM10000_images_part_1/*.jpg"))[::250]
    assert len(files) == 20
    _equals_torchcam(load(), files)


def test_equals_torchcam_on_the_examples():
    _equals_torchcam(load(), sorted(EXAMPLES.glob("*.jpg")))


def _equals_torchcam(classifier, files):
    model = copy.deepcopy(classifier.model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)  # it hooks the gradients of the whole network
    with GradCAM(model, target_layer="bn2") as extractor:
        for number, file in enumerate(files):
            code = CODES[number % len(CODES)]
            found = explain.explain(classifier, classifier.predict(file), [code])[code]
            scores = model(classifier.transform(open_image(file)).unsqueeze(0))
            (theirs,) = extractor(CODES.index(code), scores, normalized=False)
            theirs = theirs[0].clamp(min=0).numpy()
            assert theirs.max() == pytest.approx(found.peak, rel=1e-3, abs=1e-6)
            if found.peak > 0:
                assert np.abs(found.heat - theirs / theirs.max()).max() < 1e-4


def test_unknown_class_lists_the_valid_ones(classifier, image):
    with pytest.raises(ValueError, match="'scc'.*akiec, bcc, bkl, df, mel, nv, vasc"):
        explain.explain(classifier, classifier.predict(image), ["mel", "scc"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colour", ["black", "white", (128, 128, 128)])
def test_constant_images_give_finite_maps(classifier, colour, method):
    picture = Image.new("RGB", (64, 64), colour)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanations = explain.explain(classifier, classifier.predict(picture), ["mel", "nv"], method, picture)
    assert all(np.isfinite(e.heat).all() for e in explanations.values())


def test_map_lies_where_the_model_looked_at_any_aspect_ratio():
    heat = np.zeros((7, 7), np.float32)
    heat[0, 6] = 1  # top right
    grown = upsample(heat, (700, 70))
    assert grown.shape == (70, 700) and grown.min() >= 0 and grown.max() <= 1
    y, x = np.unravel_index(grown.argmax(), grown.shape)
    assert y < 10 and x >= 600


def test_overlay_keeps_size_and_leaves_cold_regions_alone(image):
    heat = np.zeros((7, 7), np.float32)
    heat[:, 0] = 1
    out = np.asarray(overlay(image, heat, 1.0)).astype(int)
    original = np.asarray(image).astype(int)
    assert out.shape == original.shape
    assert np.array_equal(out[:, -30:], original[:, -30:])
    assert np.abs(out[:, :10] - original[:, :10]).mean() > 20
    assert np.array_equal(np.asarray(overlay(image, heat, 0)), original)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan"), "0.5", None])
def test_bad_opacity_is_named(image, opacity):
    with pytest.raises(ValueError, match="not a number from 0 to 1"):
        overlay(image, np.zeros((7, 7)), opacity)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_of_one_colour_shows_no_rounding_errors(classifier, method):
    """Nothing can be taken away from it, so what differs in float32's last digits must not be painted as a map."""
    image = Image.new("RGB", (60, 45), (200, 150, 140))
    found = explain.explain(classifier, classifier.predict(image), ["mel"], method, image)["mel"]
    assert found.peak == 0 or found.peak >= explain.ROUNDING
    if METHODS[method].layer == "input":
        assert found.peak == 0 and not found.heat.any()


def test_no_class_at_all_is_an_error(classifier):
    with pytest.raises(ValueError, match="No class to explain. Give one or more of: akiec"):
        explain.explain(classifier, classifier.predict(Image.new("RGB", (60, 45))), [])


def test_an_overlay_is_rgb_whatever_the_image_was():
    heat = np.linspace(0, 1, 4, dtype=np.float32).reshape(2, 2)
    assert {overlay(Image.new(mode, (20, 20)), heat, np.float32(0.5)).mode for mode in ("L", "RGBA", "CMYK")} == {"RGB"}
