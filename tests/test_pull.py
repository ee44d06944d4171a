"""From the Hub with the real client, on both of its ways: what timm and our runtime load, and what they refuse."""

import hashlib
import io
import json
import re

import pytest
from clients import forget, run_alone, run_examples, run_load
from hub import flipped

from skin_lesion.classes import CODES
from skin_lesion.model import load

DAMAGED = "is damaged and was removed from the cache: model.safetensors. Try again."


@pytest.mark.parametrize("transport", ["xet"], indirect=True)
def test_timm_alone_loads_it_byte_for_byte(hub, published, evaluated, transport, tmp_path):
    repo, commit, *_ = published
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
    result = run_alone(hub, tmp_path, ["-c", code], xet=transport == "xet")
    assert result.returncode == 0, result.stderr
    here = sorted(load(f"local-dir:{evaluated}").model.state_dict().items())
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in here)).hexdigest()
    assert json.loads(result.stdout) == [[digest, list(CODES), False]] * 2
    (pulled,) = tmp_path.glob("hub/models--user--*/snapshots/*/model.safetensors")
    assert pulled.read_bytes() == (evaluated / "model.safetensors").read_bytes()
    assert pulled.parent.name == commit


@pytest.fixture
def pull(ours, transport):
    """load(source, ...) on one of the client's ways, with nothing in its cache at first."""
    ours(forget)
    return lambda source, *args: ours(run_load, source, *args, xet=transport == "xet")


def test_our_runtime_loads_the_commit_with_the_same_answers(hub, published, evaluated, pull, image, transport):
    repo, commit, *_ = published
    hub.log.clear()
    here = load(f"local-dir:{evaluated}")
    assert pull(f"hf-hub:{repo}@{commit}", image) == (commit, here.predict(image).probabilities, here.metrics)
    assert any("/cas/xorb/" in line for line in hub.log) == (transport == "xet")
    assert pull(f"hf-hub:{repo}", image)[0] == commit  # from the cache, where it is checked once more


def test_only_what_an_answer_needs_is_fetched(hub, served, pull):
    name, content = served
    others = {"figures/roc.png": b"png", "figures/roc.json": b"[1]", "model.bin": b"pickle", "README.md": b"card"}
    hub.repos[name].commit(content | others)
    assert pull(f"hf-hub:{name}")[0] == hub.head(name)
    asked = [line.split()[:2] for line in hub.log if "/resolve/" in line]
    fetched = {path.split("/resolve/")[1].partition("/")[2] for _, path in asked}
    assert fetched | {"model.safetensors", "ood.safetensors"} == set(content)  # these two Xet asks for elsewhere


def test_a_repository_revision_or_token_that_is_not_there_is_named(served, pull):
    assert "There is no model user/absent on the Hub" in pull("hf-hub:user/absent")
    assert f"{served[0]} has no revision 'v9'" in pull(f"hf-hub:{served[0]}@v9")
    assert "does not accept your token. Log in again" in pull(f"hf-hub:{served[0]}", None, "hf_wrong")


def test_a_download_that_is_cut_goes_on(hub, served, pull, image, evaluated, transport):
    hub.cuts[:] = [12_000_000]
    revision, answers, _ = pull(f"hf-hub:{served[0]}", image)
    assert answers == load(f"local-dir:{evaluated}").predict(image).probabilities and not hub.cuts
    if transport == "lfs":  # the client writes in pieces of 10 MiB
        assert [line.split()[-1] for line in hub.log if "bytes=" in line] == ["bytes=10485760-"]


@pytest.mark.parametrize(
    ("transport", "fault"),
    [("lfs", "cut"), *(("xet", f) for f in ("cut", "/cas/xorb/", "/cas/v1/reconstructions/", "/xet-read-token/"))],
    indirect=["transport"],
)
def test_a_download_that_breaks_off_leaves_nothing_behind_and_a_second_try_completes(hub, served, pull, fault):
    tries = 6  # at most
    hub.cuts[:] = [5_000_000] + [0] * (tries - 1) if fault == "cut" else []
    hub.failing[:] = [fault] * tries if fault != "cut" else []
    message = pull(f"hf-hub:{served[0]}")
    assert message.startswith(f"Downloading {served[0]} failed: ") and message.endswith(
        ". Try again; files that arrived whole are kept."
    )
    hub.behave()
    assert pull(f"hf-hub:{served[0]}")[0] == hub.head(served[0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[:-100_000], {"lfs": "failed: Consistency check failed", "xet": "failed: Task error"}),
        (lambda whole: whole[:-1_000_000] + bytes(1_000_000), {"lfs": DAMAGED, "xet": "failed: Task error"}),
        (lambda whole: bytes(len(whole)), {"lfs": DAMAGED, "xet": "failed: Task error"}),
        (lambda whole: flipped(whole, len(whole) // 2), {"lfs": DAMAGED, "xet": DAMAGED}),
    ],
    ids=["truncated", "end-zeroed", "all-zeroed", "one-bit"],
)
def test_weights_damaged_on_the_way_are_refused_and_fetched_anew_next_time(
    hub, served, pull, transport, damage, message
):
    name, _ = served
    hub.damage = lambda path, content: damage(content) if len(content) > 1_000_000 else content
    assert message[transport] in pull(f"hf-hub:{name}")
    assert message[transport] in pull(f"hf-hub:{name}")
    hub.damage = None
    assert pull(f"hf-hub:{name}")[0] == hub.head(name)


def test_a_small_file_damaged_on_the_way_is_fetched_anew_next_time_too(hub, served, pull):
    hub.damage = lambda path, content: content.replace(b"akiec", b"AKIEC")
    assert "is damaged and was removed from the cache: config.json" in pull(f"hf-hub:{served[0]}")
    hub.damage = None
    assert pull(f"hf-hub:{served[0]}")[0] == hub.head(served[0])


@pytest.fixture
def with_examples(hub, served, image):
    """`served` with seven sound examples, one a class, and what must not be fetched: (name, images by file name)."""
    name, content = served
    images = {f"{code}.png": png(image.rotate(turn)) for turn, code in enumerate(CODES)}
    rows = "".join(f"{code}.png,{code},HAM10000,CC BY-NC 4.0,held out\n" for code in CODES)
    others = {"huge.png": png(image) + bytes(2_000_000), "model.bin": b"pickle", "page.html": b"<p>", "sub/a.png": b""}
    files = images | others | {"credits.csv": f"file,class,source,licence,note\n{rows}huge.png,mel,x,y,z\n".encode()}
    hub.repos[name].commit(content | {f"examples/{file}": data for file, data in files.items()})
    return name, images


def png(image) -> bytes:
    image.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture
def examples(ours, transport):
    ours(forget)
    return lambda source: ours(run_examples, source, xet=transport == "xet")


def test_examples_come_with_the_model_but_nothing_large_or_strange_beside_them(with_examples, examples):
    name, images = with_examples
    shown, files, log = examples(f"hf-hub:{name}")
    assert shown == list(images) and files == {*images, "credits.csv"}
    assert re.fullmatch(r"The example 'huge.png' of .* is left out: .*No such file.*\n", log)


def test_not_more_examples_are_fetched_than_can_be_shown(hub, with_examples, examples):
    name, images = with_examples
    many = {f"examples/{number:03}.png": images["mel.png"] for number in range(200)}
    hub.repos[name].commit(hub.files(name) | many)
    assert len(examples(f"hf-hub:{name}")[1]) == 4 * (7 + 3) + 1


def test_examples_without_credits_are_not_even_fetched(hub, with_examples, examples):
    name, _ = with_examples
    hub.repos[name].commit({path: data for path, data in hub.files(name).items() if "credits" not in path})
    assert examples(f"hf-hub:{name}") == ([], set(), "")


@pytest.mark.parametrize("fault", ["/examples", "/examples/credits.csv", "/examples/df.png"])
def test_a_model_is_loaded_without_the_examples_that_cannot_be_fetched(hub, with_examples, examples, fault):
    name, images = with_examples
    hub.failing[:] = [fault] * 12  # more often than the client tries
    shown, _, log = examples(f"hf-hub:{name}")
    assert "df.png" not in shown and f"The examples of {name} could not all be fetched: " in log
    hub.behave()
    assert examples(f"hf-hub:{name}")[0] == list(images)


def test_an_example_damaged_on_the_way_is_left_out_and_fetched_anew_next_time(hub, with_examples, examples):
    name, images = with_examples
    hub.damage = lambda path, data: data[:-20] + bytes(20) if path == "examples/bkl.png" else data
    shown, files, log = examples(f"hf-hub:{name}")
    assert "bkl.png" not in shown and "The example file bkl.png of" in log
    hub.damage = None
    assert examples(f"hf-hub:{name}")[0] == list(images)


def test_a_wrong_model_on_the_hub_is_refused_by_name(hub, served, pull):
    name, content = served
    config = json.loads(content["config.json"])
    other = json.dumps(config | {"label_names": list(reversed(CODES))}).encode()
    hub.repos[name].commit(content | {"config.json": other})
    assert "names other classes, or in another order" in pull(f"hf-hub:{name}")
    hub.repos[name].commit(content | {"model.safetensors": content["model.safetensors"][:-1000]})
    assert "is damaged or incomplete" in pull(f"hf-hub:{name}")
    zeroed = content["model.safetensors"][:-1000] + bytes(1000)
    hub.repos[name].commit(content | {"model.safetensors": zeroed})
    assert "the folder mixes two models" in pull(f"hf-hub:{name}")
    hub.repos[name].commit({"metrics.json": content["metrics.json"]})
    assert "lacks config.json" in pull(f"hf-hub:{name}")
