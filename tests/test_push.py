"""To the Hub with the real client, on both of its ways: what train.push publishes, and what it says when it cannot."""

import csv
import io
import json
import re
import shutil

import pytest
import torch
import yaml
from clients import PUSH, run_alone, run_load, run_push, save_token
from hub import READER, WRITER, Hub, Repo
from safetensors.torch import load_file, save_file

from skin_lesion.classes import CODES
from skin_lesion.model import read_metrics, weights_digest
from train.card import model_card
from train.data import read_ham10000
from train.folder import CAPTIONS, write_json
from train.push import WHOLE
from train.split import merge_lesions, split

BASIC = {"config.json", "model.safetensors", "metrics.json", "test_predictions.csv", "README.md"}
FIGURES = {f"figures/{name}" for name in CAPTIONS}
ADDED = {
    "decision.json",
    "ood.safetensors",
    "foreign_distances.csv",
    "altered_answers.csv",
    "test_predictions_flips.csv",
    "quality_hints.csv",
} | FIGURES


CALIBRATED = {"decision.json", "ood.safetensors", "foreign_distances.csv"}


def uncalibrated(folder):
    """As it were without train.calibrate."""
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["calibration"], metrics["test"]["decision"], metrics["test"]["foreign"]
    write_json(folder / "metrics.json", metrics)
    for name in CALIBRATED:
        (folder / name).unlink()


def test_a_push_is_one_commit_of_the_model_and_nothing_else(hub, published, evaluated, transport):
    repo, commit, out, asked = published
    first, second = hub.repos[repo].commits.values()  # the empty repository, and ours
    assert hub.repos[repo].branches == {"main": commit}
    assert set(second) - set(first) == BASIC | ADDED
    assert all(second[name] == (evaluated / name).read_bytes() for name in (BASIC | ADDED) - {"README.md"})
    assert f'skin_lesion.load("hf-hub:{repo}@{commit}")' in out
    assert f'timm.create_model("hf-hub:{repo}@{commit}", pretrained=True)' in out
    ways = {way for way in ("PUT /store/", "POST /cas/v1/xorbs/") if any(line.startswith(way) for line in asked)}
    assert ways == {"PUT /store/" if transport == "lfs" else "POST /cas/v1/xorbs/"}


def test_the_card_on_the_hub_shows_the_figures_of_metrics_json(hub, published, evaluated):
    repo, commit, *_ = published
    card = hub.repos[repo].commits[commit]["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    (model,) = front["model-index"]
    shown = {m["name"]: m["value"] for m in model["results"][0]["metrics"]}
    headlines = read_metrics(evaluated)["test"]["headlines"]
    assert shown["Melanoma AUC"] == headlines["melanoma_auc"]["value"]
    assert shown["Balanced accuracy"] == headlines["balanced_accuracy"]["value"]
    assert front["base_model"] == "timm/efficientnet_b0.ra_in1k" and front["license"] == "cc-by-nc-4.0"
    assert f'timm.create_model("hf-hub:{repo}", pretrained=True)' in card


def test_the_card_names_imagenet_weights_only_where_the_training_began_with_them(evaluated):
    metrics = read_metrics(evaluated)
    assert "base_model: timm/efficientnet_b0.ra_in1k\n" in model_card(metrics)
    later = metrics["training"] | {"options": metrics["training"]["options"] | {"init": "earlier.safetensors"}}
    assert "base_model" not in model_card(metrics | {"training": later})
    assert "base_model" in model_card(metrics | {"training": later | {"before": metrics["training"]}})
    unevaluated = model_card({name: part for name, part in metrics.items() if name != "test"})
    assert "model-index" not in unevaluated and "not been evaluated yet" in unevaluated


def test_pushing_again_adds_no_commit_and_what_the_model_lost_is_removed(hub, evaluated, ours, tmp_path):
    first = ours(run_push, [evaluated, "--repo", "user/again"])
    again = ours(run_push, [evaluated, "--repo", "user/again"])
    assert first[0] == again[0] == 0 and len(hub.repos["user/again"].commits) == 2
    hub.repos["user/again"].commit({**hub.repos["user/again"].commits[hub.head("user/again")], "NOTES.md": b"theirs"})
    copy = shutil.copytree(evaluated, tmp_path / "model")
    uncalibrated(copy)
    assert ours(run_push, [copy, "--repo", "user/again"])[0] == 0
    assert set(hub.files("user/again")) == (BASIC | ADDED | {".gitattributes", "NOTES.md"}) - CALIBRATED


def test_a_dry_run_lists_files_and_sizes_and_asks_the_hub_nothing(hub, evaluated, ours):
    asked = len(hub.log)
    status, out = ours(run_push, [evaluated, "--repo", "user/dry", "--dry-run"], None)
    assert status == 0 and len(hub.log) == asked and "user/dry" not in hub.repos
    listed = dict(reversed(line.split(" bytes  ")) for line in out.splitlines() if " bytes  " in line)
    assert set(listed) == BASIC | ADDED
    assert (
        "stays here: checkpoint.pt, external_none.csv, figures/.hidden, figures/roc.bin, log.txt, pytorch_model.bin\n"
        in out
    )
    assert int(listed["model.safetensors"].replace(",", "")) == (evaluated / "model.safetensors").stat().st_size


def test_branch_pull_request_and_private(hub, evaluated, ours):
    assert ours(run_push, [evaluated, "--repo", "user/where", "--private"])[0] == 0
    main = hub.head("user/where")
    assert hub.repos["user/where"].private
    assert ours(run_load, f"hf-hub:user/where@{main}", None, None).startswith("There is no model user/where")
    hub.repos["user/where"].commit({"README.md": b"theirs"})
    main = hub.head("user/where")
    status, out = ours(run_push, [evaluated, "--repo", "user/where", "--create-pr", "--private"])
    assert status == 0 and "/user/where/discussions/1" in out and hub.head("user/where") == main
    assert set(hub.repos["user/where"].commits[re.search("revision: (.*)", out)[1]]) > BASIC
    hub.repos["user/where"].branches["dev"] = next(iter(hub.repos["user/where"].commits))
    status, out = ours(run_push, [evaluated, "--repo", "user/where", "--revision", "dev"])
    assert status == 0 and "created the branch" not in out
    assert set(hub.files("user/where", "dev")) > BASIC and hub.head("user/where") == main
    assert ours(run_load, "hf-hub:user/where@dev")[0] == hub.head("user/where", "dev")


def test_a_branch_that_does_not_exist_is_created_from_main_in_an_old_and_in_a_new_repository(hub, evaluated, ours):
    hub.repos["user/old"] = Repo(private=False)
    main = hub.repos["user/old"].commit({"NOTES.md": b"theirs"})
    for repo, kept in (("user/old", "NOTES.md"), ("user/new", ".gitattributes")):
        status, out = ours(run_push, [evaluated, "--repo", repo, "--revision", "v1.0"])
        assert status == 0 and f"created the branch v1.0 of {repo}, from main" in out
        assert set(hub.files(repo, "v1.0")) == BASIC | ADDED | {kept} and set(hub.files(repo)) == {kept}
        assert f"revision: {hub.head(repo, 'v1.0')}" in out
    assert hub.head("user/old") == main


def test_a_token_that_the_command_hf_auth_login_saved_is_enough(hub, evaluated, ours):
    ours(save_token, WRITER)
    try:
        assert ours(run_push, [evaluated, "--repo", "user/login"], None)[0] == 0
    finally:
        ours(save_token, None)


def test_examples_are_held_out_credited_and_only_on_the_hub(hub, evaluated, dataset, ours):
    before = sorted(evaluated.rglob("*"))
    status, out = ours(run_push, [evaluated, "--repo", "user/examples", "--examples", "1", "--data", dataset])
    assert status == 0, out
    found = {p.removeprefix("examples/"): c for p, c in hub.files("user/examples").items() if p.startswith("examples/")}
    rows = list(csv.DictReader(io.StringIO(found.pop("credits.csv").decode())))
    records = {r.path.name: r for r in read_ham10000(dataset)}
    lesions = merge_lesions(list(records.values()))
    parts = split(list(records.values()))
    seen = {lesions[r.image_id] for part in ("train", "val") for r in parts[part]}
    assert [row["class"] for row in rows] == list(CODES) and {row["file"] for row in rows} == set(found)
    for row in rows:
        record = records[row["file"]]
        assert found[row["file"]] == record.path.read_bytes() and row["class"] == record.dx
        assert lesions[record.image_id] not in seen
        assert "HAM10000, (c) ViDIR Group" in row["source"] and row["licence"] == "CC BY-NC 4.0"
        assert "held out of training" in row["note"]
    assert sorted(evaluated.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        ([], None, "Log in with 'hf auth login', or set HF_TOKEN"),
        ([], "hf_wrong", "does not accept your token. Log in again"),
        ([], READER, "may not write to user/refused. Use one with write permission for 'user'"),
        (["--repo", "other/refused"], WRITER, "may not write to other/refused"),
        (["--repo", "refused"], WRITER, "--repo 'refused' is not of the form USER/NAME"),
        (["--repo", "user/re fused"], WRITER, "'user/re fused' is not a name that the Hub allows"),
        (["--revision", "refs/pr/1"], WRITER, "--revision 'refs/pr/1' is not the name of a branch, such as dev"),
        (["--revision", "0123456789" * 4], WRITER, "is not the name of a branch"),
        (["--revision", "my branch"], WRITER, "--revision 'my branch' is not the name of a branch"),
        (["--revision", "a..b"], WRITER, "--revision 'a..b' is not the name of a branch"),
        (["--revision", ""], WRITER, "--revision '' is not the name of a branch"),
        (["--repo", "user/there", "--private"], WRITER, "user/there exists already and is public"),
        (["--examples", "2"], WRITER, "add --data DIR, or set HAM10000_DIR"),
        (["--examples", "-1"], WRITER, "--examples -1 is not a number of images a class from 0 to 4"),
        (["--examples", "5"], WRITER, "--examples 5 is not a number of images a class from 0 to 4"),
        (["--examples", "2", "--data", "/nowhere"], WRITER, "There is no folder /nowhere"),
    ],
)
def test_a_push_that_cannot_be_says_why_and_publishes_nothing(hub, evaluated, ours, arguments, token, message):
    if "user/there" not in hub.repos:
        hub.repos["user/there"] = Repo(private=False)
        hub.repos["user/there"].commit({"README.md": b"theirs"})
    status, out = ours(run_push, [evaluated, "--repo", "user/refused", *arguments], token)
    assert status == 1 and message in out.splitlines()[-1] and "Traceback" not in out
    assert "user/refused" not in hub.repos and list(hub.files("user/there")) == ["README.md"]


def test_a_model_without_held_out_figures_or_that_does_not_load_is_refused(
    hub, evaluated, model_folder, ours, tmp_path
):
    status, out = ours(run_push, [model_folder, "--repo", "user/refused"])
    assert status == 1 and "has no held-out figures" in out and "train.evaluate" in out
    copy = shutil.copytree(evaluated, tmp_path / "model")
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:-1000])
    status, out = ours(run_push, [copy, "--repo", "user/refused", "--dry-run"])
    assert status == 1 and "damaged or incomplete" in out
    shutil.copy(evaluated / "model.safetensors", copy)
    for name in ("altered_answers.csv", "figures/roc.png"):
        (copy / name).rename(copy / "kept")
        status, out = ours(run_push, [copy, "--repo", "user/refused", "--dry-run"])
        assert status == 1 and f"lacks {name}, of which its metrics.json and card tell" in out
        (copy / "kept").rename(copy / name)
    uncalibrated(copy)
    torch.save({"mean": torch.zeros(7)}, copy / "ood.safetensors")
    status, out = ours(run_push, [copy, "--repo", "user/refused", "--dry-run"])
    assert status == 1 and "ood.safetensors is not a safetensors file" in out


@pytest.fixture
def fresh(hub, evaluated, tmp_path):
    """A model whose weights the Hub has never seen, nor has the client's own record of what it sent."""
    folder = shutil.copytree(evaluated, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["conv_head.weight"] = torch.rand(weights["conv_head.weight"].shape)
    save_file(weights, folder / "model.safetensors")
    for name in ("metrics.json", "decision.json"):
        of = json.loads((folder / name).read_text())
        write_json(folder / name, of | {"weights": weights_digest(folder)})
    hub.log.clear()
    yield folder
    hub.behave()


STEPS = {
    "lfs": ["/preupload/", "/objects/batch", "/store/", "cut", "/commit/main"],
    "xet": ["/preupload/", "/xet-write-token/", "/cas/v1/xorbs/", "/cas/v2/shards", "cut", "/commit/main"],
}


@pytest.mark.parametrize(
    ("transport", "step"), [(way, step) for way, steps in STEPS.items() for step in steps], indirect=["transport"]
)
def test_an_upload_that_breaks_off_publishes_nothing_and_a_second_try_goes_on(hub, fresh, ours, transport, step):
    repo, xet = f"user/broken-{transport}-{step.strip('/').replace('/', '-')}", transport == "xet"
    faults = hub.upload_cuts if step == "cut" else hub.failing
    faults[:] = [100_000 if step == "cut" else step] * 20  # more often than the client tries
    status, out = ours(run_push, [fresh, "--repo", repo], xet=xet)
    assert status == 1 and "un this again; " + WHOLE in out.splitlines()[-1] and "Traceback" not in out
    assert len(faults) < 20
    assert list(hub.files(repo)) == [".gitattributes"] and len(hub.repos[repo].commits) == 1
    hub.behave()
    hub.log.clear()
    assert ours(run_push, [fresh, "--repo", repo], xet=xet)[0] == 0
    assert hub.files(repo)["model.safetensors"] == (fresh / "model.safetensors").read_bytes()
    if step == "/commit/main":  # what had arrived is not sent again
        assert not [line for line in hub.log if line.startswith("PUT") or "/xorbs/" in line]


def test_a_connection_cut_once_in_an_upload_is_taken_up_again(hub, fresh, ours, transport):
    hub.upload_cuts[:] = [100_000]
    assert ours(run_push, [fresh, "--repo", f"user/cut-{transport}"], xet=transport == "xet")[0] == 0
    assert not hub.upload_cuts
    assert hub.files(f"user/cut-{transport}")["model.safetensors"] == (fresh / "model.safetensors").read_bytes()


def test_when_only_the_answer_to_the_commit_is_lost_a_second_try_finds_it_done(hub, fresh, ours, transport):
    hub.lost[:] = ["/commit/main"]
    repo, xet = f"user/lost-{transport}", transport == "xet"
    status, out = ours(run_push, [fresh, "--repo", repo], xet=xet)
    assert status == 1 and "run this again; " + WHOLE in out.splitlines()[-1]
    status, out = ours(run_push, [fresh, "--repo", repo], xet=xet)
    assert status == 0 and f"revision: {hub.head(repo)}" in out and len(hub.repos[repo].commits) == 2


def test_without_a_network_the_command_ends_in_one_sentence(evaluated, tmp_path):
    nowhere = Hub(url="http://127.0.0.1:9")
    result = run_alone(nowhere, tmp_path, [*PUSH, str(evaluated), "--repo", "user/lesions"])
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.startswith("train.push: The Hub cannot be reached") and result.stderr.count("\n") == 1
