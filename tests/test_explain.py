import warnings

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image

from skin_lesion import explain
from skin_lesion.classes import CODES
from skin_lesion.explain import gradcam, overlay, render, upsample
from skin_lesion.predict import Classifier, Prediction


def hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_equals_the_closed_form_for_all_seven_classes(classifier, image):
    """Average pooling and a linear head make Grad-CAM relu(sum_k W[c, k] A_k) / (H W)."""
    prediction = classifier.predict(image)
    weights = classifier.model.classifier.weight  # (7, 1280)
    expected = torch.einsum("ck,khw->chw", weights, prediction.features[0]).relu() / 49
    explanations = gradcam(classifier, prediction)
    assert list(explanations) == list(CODES)
    for i, code in enumerate(CODES):
        e = explanations[code]
        assert e.heat.shape == (7, 7) and e.heat.min() >= 0 and e.heat.max() <= 1
        assert np.allclose(e.heat * e.peak, expected[i].numpy(), atol=1e-5)


def test_equals_captum_on_the_whole_model(classifier, image):
    """Explaining from the kept features gives what Captum gives on bn2 of the whole network."""
    x = classifier.transform(image).unsqueeze(0).requires_grad_()
    cam = LayerGradCam(classifier.model, classifier.model.bn2)
    prediction = classifier.predict(image)
    for i in (0, 4):
        whole = cam.attribute(x, target=i, relu_attributions=True)[0, 0].detach().numpy()
        e = gradcam(classifier, prediction, [CODES[i]])[CODES[i]]
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
        explanations = gradcam(*by_hand(features), ["bkl", "akiec"])
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
    gradcam(classifier, classifier.predict(image))
    assert len(heads) == 1 and hooks(heads[0]) == 0 and hooks(classifier.model) == 0


def test_no_hook_is_left_behind_after_an_error(heads):
    classifier, prediction = by_hand(torch.ones(1, 2, 2, 2))
    seen = []

    def fail(features):
        seen.append(hooks(heads[0]))
        raise RuntimeError("broken head")

    classifier.model.forward_head = fail
    with pytest.raises(RuntimeError, match="broken head"):
        gradcam(classifier, prediction)
    assert seen[0] >= 1 and hooks(heads[0]) == 0


def test_a_rendered_map_says_what_it_is_and_large_images_are_shrunk(classifier):
    wide = Image.new("RGB", (3000, 300), "pink")
    prediction = classifier.predict(wide)
    page = render(wide, gradcam(classifier, prediction)["mel"], prediction)
    assert page.width == explain.MAX_SIDE
    strip = np.asarray(page)[205:]
    assert strip.min() < 100 and strip.max() == 255  # dark text on white


def test_unknown_class_lists_the_valid_ones(classifier, image):
    with pytest.raises(ValueError, match="'scc'.*akiec, bcc, bkl, df, mel, nv, vasc"):
        gradcam(classifier, classifier.predict(image), ["mel", "scc"])


@pytest.mark.parametrize("colour", ["black", "white", (128, 128, 128)])
def test_constant_images_give_finite_maps(classifier, colour):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanations = gradcam(classifier, classifier.predict(Image.new("RGB", (64, 64), colour)))
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
