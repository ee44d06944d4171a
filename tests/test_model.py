import json
import shutil

import pytest
import timm
import tiny
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from skin_lesion import hub as hub_module
from skin_lesion import load
from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.model import BUNDLED, ModelError


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "model")


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_bundled_model_loads_with_its_own_preprocessing_and_figures():
    classifier = load()
    assert classifier.source == "bundled" and classifier.revision.startswith("sha256:")
    assert classifier.metrics["weights"] == classifier.revision
    assert not classifier.model.training
    assert not any(p.requires_grad for p in classifier.model.parameters())
    assert "squash" in json.loads((BUNDLED / "config.json").read_text())["pretrained_cfg"]["crop_mode"]


def test_timm_alone_loads_the_bundled_folder():
    """A stranger without our code gets the same weights, classes and transform."""
    model = timm.create_model(f"local-dir:{BUNDLED}", pretrained=True).eval()
    assert tuple(model.pretrained_cfg["label_names"]) == CODES
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), load().model(x))


def test_config_names_the_classes_and_how_the_image_is_prepared(model_folder):
    config = json.loads((model_folder / "config.json").read_text())
    assert tuple(config["label_names"]) == CODES
    assert config["label_descriptions"] == {c: BY_CODE[c].name for c in CODES}
    assert config["pretrained_cfg"]["input_size"] == [3, tiny.UNTRAINED, tiny.UNTRAINED]
    assert config["pretrained_cfg"]["crop_mode"] == "squash"


def test_local_source_is_named_in_the_result(model_folder):
    classifier = load(f"local-dir:{model_folder}")
    assert classifier.source == f"local-dir:{model_folder}"
    assert classifier.metrics == {}


@pytest.mark.parametrize("source", ["", "weights", "hf-hub:", "local-dir:", "http://x", "local:weights"])
def test_unknown_sources_list_the_valid_forms(source):
    with pytest.raises(ModelError, match="local-dir:PATH, or hf-hub:USER/REPO"):
        load(source)


def test_a_bare_path_is_told_how_to_write_it(model_folder):
    with pytest.raises(ModelError, match=f"Did you mean local-dir:{model_folder}"):
        load(str(model_folder))


def test_missing_folder_and_missing_files_are_named(copy, tmp_path):
    with pytest.raises(ModelError, match="no model folder .*nowhere"):
        load(f"local-dir:{tmp_path / 'nowhere'}")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model.safetensors \(it has: .*config.json"):
        load(f"local-dir:{copy}")


@pytest.mark.parametrize("names", [list(reversed(CODES)), ["mel", "nv", "bcc"], None, dict.fromkeys(CODES, 1)])
def test_other_classes_or_another_order_are_refused(copy, names):
    edit_config(copy, label_names=names)
    with pytest.raises(ModelError, match=r"names other classes, or in another order.*expected \['akiec'"):
        load(f"local-dir:{copy}")


def test_weights_that_are_not_finite_are_refused_by_name(copy):
    weights = load_file(copy / "model.safetensors")
    weights["conv_head.weight"][0] = torch.nan
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(ModelError, match="not finite in conv_head.weight"):
        load(f"local-dir:{copy}")


def test_truncated_weights_are_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="model.safetensors is damaged or incomplete"):
        load(f"local-dir:{copy}")


def test_weights_of_another_model_are_refused(copy):
    save_file({"weight": torch.zeros(3)}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="does not hold a model that timm can build"):
        load(f"local-dir:{copy}")


def test_unknown_architecture_and_broken_json_are_refused(copy):
    edit_config(copy, architecture="efficientnet_b99")
    with pytest.raises(ModelError, match="describes 'efficientnet_b99' with 7 classes"):
        load(f"local-dir:{copy}")
    edit_config(copy, architecture="efficientnet_b0", num_classes=8)
    with pytest.raises(ModelError, match="describes 'efficientnet_b0' with 8 classes"):
        load(f"local-dir:{copy}")
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match="config.json cannot be read"):
        load(f"local-dir:{copy}")


def test_hub_source_takes_the_snapshot_and_its_commit(copy, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = shutil.move(copy, tmp_path / commit)
    asked = {}

    def download(repo, revision, allow_patterns):
        asked.update(repo=repo, revision=revision)
        return str(snapshot)

    monkeypatch.setattr(hub_module, "snapshot_download", download)
    classifier = load("hf-hub:user/repo@v1.0")
    assert asked == {"repo": "user/repo", "revision": "v1.0"}
    assert (classifier.source, classifier.revision) == ("hf-hub:user/repo@v1.0", commit)


def test_figures_of_other_weights_are_refused(copy):
    (copy / "metrics.json").write_text('{"weights": "sha256:000000000000"}')
    with pytest.raises(ModelError, match="are of the weights sha256:000000000000, but model.safetensors is sha256"):
        load(f"local-dir:{copy}")


class _Response:
    """What huggingface_hub's errors want to know of an HTTP answer."""

    status_code, headers, request = 404, {}, None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.RevisionNotFoundError("no", response=_Response()), "no revision 'v9'"),
        (errors.RepositoryNotFoundError("no", response=_Response()), "Check the name; for a private one log in"),
        (errors.GatedRepoError("no", response=_Response()), "accept conditions first"),
        (errors.LocalEntryNotFoundError("offline"), "cannot be reached .* bundled weights"),
        (errors.HFValidationError("bad name"), "not of the form"),
        (errors.HfHubHTTPError("500 Server Error", response=_Response()), "500 Server Error"),
        (OSError("No space left on device"), "No space left on device"),
    ],
)
def test_hub_errors_say_what_to_do(error, message, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(hub_module, "snapshot_download", fail)
    with pytest.raises(ModelError, match=message):
        load("hf-hub:user/repo@v9")


@pytest.mark.parametrize("source", ["hf-hub:foo", "hf-hub:user/repo@", "hf-hub:a/b/c"])
def test_a_malformed_place_on_the_hub_is_named_before_it_is_asked(source, monkeypatch):
    monkeypatch.setattr(hub_module, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(ModelError, match=f"{source} is not of the form local-dir:PATH, or hf-hub:USER/REPO"):
        load(source)
