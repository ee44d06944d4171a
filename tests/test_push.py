"""To the Hub and back with the real huggingface_hub client, and what is said when the Hub misbehaves.

The client reads HF_ENDPOINT when it is imported, so it runs in processes of its own: `ours` with our code, and
`stranger` with timm alone.
"""

import contextlib
import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import yaml
from hub import READER, WRITER, Hub, Repo, serve

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, load, read_metrics
from train import evaluate, push
from train.card import model_card
from train.data import read_ham10000
from train.folder import write_json
from train.split import PARTS, RATIOS, fingerprint, merge_lesions, split

ROOT = Path(__file__).parents[1]
BASIC = {"config.json", "model.safetensors", "metrics.json", "test_predictions.csv", "README.md"}
ADDED = {"decision.json", "figures/roc.png"}


@pytest.fixture(scope="module")
def folder(model_folder, dataset, tmp_path_factory):
    """A model folder with held-out figures, as after train.evaluate, and with what may stand beside them."""
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("push") / "model")
    parts = split(read_ham10000(dataset))
    made = {"seed": 0, "ratios": RATIOS, "fingerprint": fingerprint(parts), "images": {p: len(parts[p]) for p in PARTS}}
    options = {"init": "imagenet", "schedule": [[1, 32]], "batch": 8, "lr": 1e-3, "ema": 0.9, "smoothing": 0}
    training = {"images": made["images"]["train"], "options": options | {"adjust": 1, "seed": 0}}
    write_json(folder / "metrics.json", {"split": made, "training": training})
    evaluate.evaluate(folder, dataset)
    (folder / "decision.json").write_text("{}")
    (folder / "figures").mkdir()
    (folder / "figures/roc.png").write_bytes(b"png")
    (folder / "checkpoint.pt").write_bytes(b"must stay at home")
    (folder / "figures/.hidden").write_bytes(b"must stay at home")
    return folder


@pytest.fixture(scope="module", params=["lfs", "xet"])
def path(request):
    """Both of the client's upload paths; xet is what a user's machine takes."""
    return request.param


@pytest.fixture(scope="module")
def hub():
    with serve() as hub:
        yield hub


@pytest.fixture(scope="module")
def ours(hub, tmp_path_factory):
    """Call a function of this module in a process whose Hub is ours."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in hub.environment(tmp_path_factory.mktemp("home")).items():
                patch.setenv(name, value)
            pool.submit(os.getpid).result()  # starts it, with these variables
        yield lambda function, *args: pool.submit(function, *args).result(timeout=600)


def run_push(arguments: list, token: str | None = WRITER) -> tuple[int, str]:
    """Exit status and all that train.push prints. Anything it raises fails the test."""
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        status = push.main([str(argument) for argument in arguments])
    return status, out.getvalue()


def run_load(source: str, image=None, token: str | None = WRITER):
    """(revision, probabilities, figures), or the text of the ModelError. Anything else fails the test."""
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    try:
        classifier = load(source)
    except ModelError as error:
        return str(error)
    return classifier.revision, image and classifier.predict(image).probabilities, classifier.metrics


def run_alone(hub: Hub, home: Path, code: list[str], xet: bool = False) -> subprocess.CompletedProcess:
    env = os.environ | hub.environment(home, xet)
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=env, cwd=home, timeout=600)


@pytest.fixture(scope="module")
def published(hub, folder, path, tmp_path_factory):
    """Pushed on the command line: (repository, commit, what was printed)."""
    repo, home = f"user/{path}", tmp_path_factory.mktemp("home")
    code = ["-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from train.push import main; sys.exit(main())"]
    result = run_alone(hub, home, [*code, str(folder), "--repo", repo], xet=path == "xet")
    assert result.returncode == 0, result.stderr
    return repo, re.search(r"revision: ([0-9a-f]{40})", result.stdout)[1], result.stdout


def test_a_push_is_one_commit_of_the_model_and_nothing_else(hub, published, folder, path):
    repo, commit, out = published
    first, second = hub.repos[repo].commits.values()  # the empty repository, and ours
    assert hub.repos[repo].branches == {"main": commit}
    assert set(second) - set(first) == BASIC | ADDED
    assert all(second[name] == (folder / name).read_bytes() for name in (BASIC | ADDED) - {"README.md"})
    assert f'skin_lesion.load("hf-hub:{repo}@{commit}")' in out
    assert f'timm.create_model("hf-hub:{repo}@{commit}", pretrained=True)' in out
    sent = [line for line in hub.log if line.startswith(("PUT /lfs/", "POST /cas/v1/xorbs/"))]
    assert any(("cas" in line) == (path == "xet") for line in sent)


def test_the_card_on_the_hub_shows_the_figures_of_metrics_json(hub, published, folder):
    repo, commit, _ = published
    card = hub.repos[repo].commits[commit]["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    (model,) = front["model-index"]
    shown = {m["name"]: m["value"] for m in model["results"][0]["metrics"]}
    headlines = read_metrics(folder)["test"]["headlines"]
    assert shown["Melanoma AUC"] == headlines["melanoma_auc"]["value"]
    assert shown["Balanced accuracy"] == headlines["balanced_accuracy"]["value"]
    assert front["base_model"] == "timm/efficientnet_b0.ra_in1k" and front["license"] == "cc-by-nc-4.0"
    assert f'timm.create_model("hf-hub:{repo}", pretrained=True)' in card


def test_the_card_names_imagenet_weights_only_where_the_training_began_with_them(folder):
    metrics = read_metrics(folder)
    assert "base_model: timm/efficientnet_b0.ra_in1k\n" in model_card(metrics)
    later = metrics["training"] | {"options": metrics["training"]["options"] | {"init": "earlier.safetensors"}}
    assert "base_model" not in model_card(metrics | {"training": later})
    assert "base_model" in model_card(metrics | {"training": later | {"before": metrics["training"]}})
    unevaluated = model_card({name: part for name, part in metrics.items() if name != "test"})
    assert "model-index" not in unevaluated and "not been evaluated yet" in unevaluated


def test_timm_alone_loads_it_byte_for_byte(hub, published, folder, path, tmp_path):
    repo, commit, _ = published
    code = f"""
import hashlib, json, sys, timm
found = []
for source in ("hf-hub:{repo}", "hf-hub:{repo}@{commit}"):
    model = timm.create_model(source, pretrained=True)
    state = sorted(model.state_dict().items())
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in state)).hexdigest()
    found.append([digest, list(model.pretrained_cfg["label_names"]), "skin_lesion" in sys.modules])
print(json.dumps(found))
"""
    result = run_alone(hub, tmp_path, ["-c", code], xet=path == "xet")
    assert result.returncode == 0, result.stderr
    here = sorted(load(f"local-dir:{folder}").model.state_dict().items())
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in here)).hexdigest()
    assert json.loads(result.stdout) == [[digest, list(CODES), False]] * 2
    (pulled,) = tmp_path.glob("hub/models--user--*/snapshots/*/model.safetensors")
    assert pulled.read_bytes() == (folder / "model.safetensors").read_bytes()
    assert pulled.parent.name == commit


def test_our_runtime_loads_the_commit_with_the_same_answers(published, folder, ours, image):
    repo, commit, _ = published
    here = load(f"local-dir:{folder}")
    assert ours(run_load, f"hf-hub:{repo}@{commit}", image) == (commit, here.predict(image).probabilities, here.metrics)


def test_pushing_again_adds_no_commit_and_what_the_model_lost_is_removed(hub, folder, ours, tmp_path):
    first = ours(run_push, [folder, "--repo", "user/again"])
    again = ours(run_push, [folder, "--repo", "user/again"])
    assert first[0] == again[0] == 0 and len(hub.repos["user/again"].commits) == 2
    hub.repos["user/again"].commit({**hub.repos["user/again"].commits[head(hub, "user/again")], "NOTES.md": b"theirs"})
    copy = shutil.copytree(folder, tmp_path / "model")
    (copy / "decision.json").unlink()
    shutil.rmtree(copy / "figures")
    assert ours(run_push, [copy, "--repo", "user/again"])[0] == 0
    assert set(files(hub, "user/again")) == BASIC | {".gitattributes", "NOTES.md"}


def head(hub: Hub, repo: str, branch: str = "main") -> str:
    return hub.repos[repo].branches[branch]


def files(hub: Hub, repo: str, branch: str = "main") -> dict[str, bytes]:
    return hub.repos[repo].commits[head(hub, repo, branch)]


def test_a_dry_run_lists_files_and_sizes_and_asks_the_hub_nothing(hub, folder, ours):
    asked = len(hub.log)
    status, out = ours(run_push, [folder, "--repo", "user/dry", "--dry-run"], None)
    assert status == 0 and len(hub.log) == asked and "user/dry" not in hub.repos
    listed = dict(reversed(line.split(" bytes  ")) for line in out.splitlines() if " bytes  " in line)
    assert set(listed) == BASIC | ADDED
    assert int(listed["model.safetensors"].replace(",", "")) == (folder / "model.safetensors").stat().st_size


def test_branch_pull_request_and_private(hub, folder, ours):
    assert ours(run_push, [folder, "--repo", "user/where", "--private"])[0] == 0
    main = head(hub, "user/where")
    assert hub.repos["user/where"].private
    assert ours(run_load, f"hf-hub:user/where@{main}", None, None).startswith("There is no model user/where")
    hub.repos["user/where"].commit({"README.md": b"theirs"})
    main = head(hub, "user/where")
    status, out = ours(run_push, [folder, "--repo", "user/where", "--create-pr", "--private"])
    assert status == 0 and "/user/where/discussions/1" in out and head(hub, "user/where") == main
    assert set(hub.repos["user/where"].commits[re.search("revision: (.*)", out)[1]]) > BASIC
    hub.repos["user/where"].branches["dev"] = next(iter(hub.repos["user/where"].commits))
    assert ours(run_push, [folder, "--repo", "user/where", "--revision", "dev"])[0] == 0
    assert set(files(hub, "user/where", "dev")) > BASIC and head(hub, "user/where") == main
    assert ours(run_load, "hf-hub:user/where@dev")[0] == head(hub, "user/where", "dev")


def test_examples_are_held_out_credited_and_only_on_the_hub(hub, folder, dataset, ours):
    before = sorted(folder.rglob("*"))
    status, out = ours(run_push, [folder, "--repo", "user/examples", "--examples", "1", "--data", dataset])
    assert status == 0, out
    found = {
        p.removeprefix("examples/"): c for p, c in files(hub, "user/examples").items() if p.startswith("examples/")
    }
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
        assert record.image_id in row["source"] and "HAM10000" in row["source"] and row["licence"] == "CC BY-NC 4.0"
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        ([], None, "Log in with 'hf auth login', or set HF_TOKEN"),
        ([], "hf_wrong", "does not accept your token. Log in again"),
        ([], READER, "may not write to user/refused. Use one with write permission for 'user'"),
        (["--repo", "other/refused"], WRITER, "may not write to other/refused"),
        (["--repo", "refused"], WRITER, "--repo 'refused' is not of the form USER/NAME"),
        (["--repo", "user/re fused"], WRITER, "'user/re fused' is not a name that the Hub allows"),
        (
            ["--repo", "user/there", "--revision", "absent"],
            WRITER,
            "no branch 'absent'. Create it with 'hf repos",
        ),
        (["--repo", "user/there", "--private"], WRITER, "user/there exists already and is public"),
        (["--examples", "2"], WRITER, "add --data DIR, or set HAM10000_DIR"),
        (["--examples", "-1"], WRITER, "--examples -1 is not a number of images from 0"),
        (["--examples", "2", "--data", "/nowhere"], WRITER, "There is no folder /nowhere"),
    ],
)
def test_a_push_that_cannot_be_says_why_and_publishes_nothing(hub, folder, ours, arguments, token, message):
    if "user/there" not in hub.repos:
        hub.repos["user/there"] = Repo(private=False)
        hub.repos["user/there"].commit({"README.md": b"theirs"})
    status, out = ours(run_push, [folder, "--repo", "user/refused", *arguments], token)
    assert status == 1 and message in out.splitlines()[-1] and "Traceback" not in out
    assert "user/refused" not in hub.repos and list(files(hub, "user/there")) == ["README.md"]


def test_a_model_without_held_out_figures_or_that_does_not_load_is_refused(hub, folder, model_folder, ours, tmp_path):
    status, out = ours(run_push, [model_folder, "--repo", "user/refused"])
    assert status == 1 and "has no held-out figures" in out and "train.evaluate" in out
    copy = shutil.copytree(folder, tmp_path / "model")
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:-1000])
    status, out = ours(run_push, [copy, "--repo", "user/refused", "--dry-run"])
    assert status == 1 and "damaged or incomplete" in out


def test_an_upload_that_breaks_off_publishes_nothing_and_a_second_try_goes_on(hub, folder, ours, tmp_path):
    hub.failing.append("/commit/main")
    status, out = ours(run_push, [folder, "--repo", "user/broken"])
    assert status == 1 and "Run this again; a push is one commit, so no half" in out.splitlines()[-1]
    assert list(files(hub, "user/broken")) == [".gitattributes"]
    hub.log.clear()
    assert ours(run_push, [folder, "--repo", "user/broken"])[0] == 0
    assert set(files(hub, "user/broken")) > BASIC
    assert not [line for line in hub.log if line.startswith("PUT")]  # what had arrived is not sent again


def test_without_a_network_the_command_ends_in_one_sentence(folder, tmp_path):
    nowhere = Hub(url="http://127.0.0.1:9")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from train.push import main; sys.exit(main())"
    result = run_alone(nowhere, tmp_path, ["-c", code, str(folder), "--repo", "user/lesions"])
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.startswith("train.push: The Hub cannot be reached") and result.stderr.count("\n") == 1


@pytest.fixture
def served(hub, folder, request):
    """A repository of a test's own, so that nothing of it is in the cache yet: (name, its files)."""
    name = "user/" + re.sub(r"\W+", "-", request.node.name)[-60:].strip("-")
    content = {p: (folder / p).read_bytes() for p in ("config.json", "model.safetensors", "metrics.json")}
    hub.repos[name] = Repo(private=False)
    hub.repos[name].commit(content)
    yield name, content
    hub.cuts.clear()
    hub.served.clear()


def test_a_repository_revision_or_token_that_is_not_there_is_named(served, ours):
    assert "There is no model user/absent on the Hub" in ours(run_load, "hf-hub:user/absent")
    assert f"{served[0]} has no revision 'v9'" in ours(run_load, f"hf-hub:{served[0]}@v9")
    assert "does not accept your token. Log in again" in ours(run_load, f"hf-hub:{served[0]}", None, "hf_wrong")


def test_a_download_that_is_cut_goes_on_where_it_was(hub, served, ours, image, folder):
    hub.log.clear()
    hub.cuts[:] = [12_000_000]  # the client writes in pieces of 10 MiB
    revision, answers, _ = ours(run_load, f"hf-hub:{served[0]}", image)
    assert answers == load(f"local-dir:{folder}").predict(image).probabilities
    assert [line.split()[-1] for line in hub.log if "bytes=" in line] == ["bytes=10485760-"]


def test_a_download_that_breaks_off_leaves_nothing_behind_and_a_second_try_completes(hub, served, ours):
    hub.cuts[:] = [5_000_000] + [0] * 5  # the client tries five more times
    message = ours(run_load, f"hf-hub:{served[0]}")
    assert message.startswith(f"Downloading {served[0]} failed: ") and "Try again" in message
    assert not hub.cuts
    assert ours(run_load, f"hf-hub:{served[0]}")[0] == head(hub, served[0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda weights: weights[:-100_000], "failed: Consistency check failed"),
        (lambda weights: weights[:-100_000] + bytes(100_000), "arrived damaged and were removed from the cache; try"),
        (lambda weights: bytes(len(weights)), "arrived damaged and were removed from the cache; try"),
    ],
    ids=["truncated", "end-zeroed", "all-zeroed"],
)
def test_weights_damaged_on_the_way_are_refused_and_fetched_anew_next_time(hub, served, ours, damage, message):
    name, content = served
    hub.served["model.safetensors"] = damage(content["model.safetensors"])
    assert message in ours(run_load, f"hf-hub:{name}")
    assert message in ours(run_load, f"hf-hub:{name}")
    hub.served.clear()
    assert ours(run_load, f"hf-hub:{name}")[0] == head(hub, name)


def test_a_wrong_model_on_the_hub_is_refused_by_name(hub, served, ours):
    name, content = served
    config = json.loads(content["config.json"])
    other = json.dumps(config | {"label_names": list(reversed(CODES))}).encode()
    hub.repos[name].commit(content | {"config.json": other})
    assert "names other classes, or in another order" in ours(run_load, f"hf-hub:{name}")
    hub.repos[name].commit(content | {"model.safetensors": content["model.safetensors"][:-1000]})
    assert "is damaged or incomplete" in ours(run_load, f"hf-hub:{name}")
    zeroed = content["model.safetensors"][:-1000] + bytes(1000)
    hub.repos[name].commit(content | {"model.safetensors": zeroed})
    assert "the folder mixes two models" in ours(run_load, f"hf-hub:{name}")
    hub.repos[name].commit({"metrics.json": content["metrics.json"]})
    assert "lacks config.json" in ours(run_load, f"hf-hub:{name}")
