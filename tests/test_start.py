"""app.py started as a Space starts it: told by variables which model to take from the Hub, with a token as a secret."""

import json
from urllib.request import Request, urlopen

import pytest
from clients import forget, run_app, run_push, started
from gradio_client import Client, handle_file
from hub import READER, Hub, flipped

from skin_lesion.answers import API_VERSION
from skin_lesion.classes import CODES
from skin_lesion.model import load
from train.data import read_ham10000


@pytest.fixture(scope="module")
def picture(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "mole.png"
    image.save(path)
    return path


def click(url: str, config: dict, gallery: dict, index: int) -> dict:
    """What the page does when a visitor clicks an example: the file that becomes the image."""
    (event,) = (e for e in config["dependencies"] if [gallery["id"], "select"] in e["targets"])
    join = {"data": [], "fn_index": event["id"], "session_hash": "visitor", "trigger_id": gallery["id"]}
    body = json.dumps(join | {"event_data": {"index": index, "value": None}}).encode()
    urlopen(Request(f"{url}/gradio_api/queue/join", body, {"Content-Type": "application/json"})).close()
    with urlopen(f"{url}/gradio_api/queue/data?session_hash=visitor") as stream:
        for line in stream:
            message = json.loads(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
            if message.get("msg") == "process_completed":
                assert message["success"], message
                return message["output"]["data"][0]
    raise AssertionError("no answer to the click")


@pytest.mark.parametrize("transport", ["xet"], indirect=True)  # of LFS see test_push.py and test_pull.py
def test_a_space_runs_the_private_model_that_was_pushed(hub, evaluated, dataset, ours, transport, picture, tmp_path):
    repo, xet = f"user/space-{transport}", transport == "xet"
    arguments = [evaluated, "--repo", repo, "--private", "--examples", "1", "--data", dataset]
    assert ours(run_push, arguments, xet=xet)[0] == 0
    commit, here = hub.head(repo), load(f"local-dir:{evaluated}")
    with started(hub, tmp_path, xet, SKIN_LESION_MODEL=f"hf-hub:{repo}", HF_TOKEN=READER) as (url, written):
        assert url, written
        client = Client(url, verbose=False)
        answer = client.predict(handle_file(picture), api_name="/predict")
        assert answer["probabilities"] == here.predict(picture).to_dict()["probabilities"]
        model = {"source": f"hf-hub:{repo}", "revision": commit}
        assert answer["model"] == model
        described = client.predict(api_name="/model")
        assert described["api_version"] == API_VERSION and described["metrics"] == here.metrics
        assert {name: described[name] for name in model} == model and described["fallback"] is None

        with urlopen(f"{url}/config") as response:
            config = json.load(response)
        components = {c["props"].get("elem_id"): c for c in config["components"]}
        about = json.loads(components["about"]["props"]["value"].removeprefix("__i18n__"))["key"]
        assert commit in config["i18n_translations"]["en"][about]
        key = json.loads(components["credits"]["props"]["value"].removeprefix("__i18n__"))["key"]
        assert "HAM10000, (c) ViDIR Group" in config["i18n_translations"]["en"][key]
        # behind them stand the project's own of what they do not show
        shown = components["examples"]["props"]["value"][: len(CODES)]
        assert [e["caption"] for e in shown] == list(CODES)
        pictures = {r.path.name: r.path.read_bytes() for r in read_ham10000(dataset)}
        for example in shown:
            with urlopen(f"{url}/gradio_api/file={example['image']['path']}") as response:
                assert response.read() == pictures[example["image"]["orig_name"]]
        assert click(url, config, components["examples"], 4)["orig_name"] == shown[4]["image"]["orig_name"]


WRONG = {  # fault -> (place, token, message)
    "token": ("{name}", "hf_wrong", "The Hub does not accept your token. Log in again"),
    "repository": ("user/absent", READER, "There is no model user/absent on the Hub"),
    "revision": ("{name}@v9", READER, "has no revision 'v9'"),
    "Hub": ("{name}", READER, "The Hub cannot be reached and"),
    "weights": ("{name}", READER, "is damaged and was removed from the cache: model.safetensors"),
    "classes": ("{name}", READER, "names other classes, or in another order"),
    "source": (None, READER, "Unknown model source 'user/lesions': use local-dir:PATH, or hf-hub:USER/REPO"),
}


@pytest.mark.parametrize("transport", ["xet"], indirect=True)
@pytest.mark.parametrize("fault", WRONG)
def test_another_model_answers_only_where_that_is_allowed_and_then_visibly(hub, served, ours, transport, fault):
    name, content = served
    place, token, message = WRONG[fault]
    source = f"hf-hub:{place.format(name=name)}" if place else "user/lesions"
    hub.failing[:] = ["/revision/"] * 20 if fault == "Hub" else []
    if fault == "weights":
        hub.damage = lambda path, data: flipped(data, len(data) // 2) if len(data) > 1_000_000 else data
    if fault == "classes":
        other = json.loads(content["config.json"]) | {"label_names": list(reversed(CODES))}
        hub.repos[name].commit(content | {"config.json": json.dumps(other).encode()})
    ours(forget)
    end, page, log = ours(run_app, source, token=token)
    assert end.startswith(f"app.py: SKIN_LESION_MODEL={source}: ") and message in end and not page
    assert end.endswith("To let the bundled model answer in such a case, set SKIN_LESION_FALLBACK=bundled.")

    end, page, log = ours(run_app, source, "bundled", token=token)
    assert not end and message in log and "The bundled model is used instead." in log
    assert f"The model {source} could not be loaded; the bundled one answers instead." in page
    assert "Model: `bundled`" in page and "all synthetic" in page


def test_a_model_that_is_there_needs_no_other_and_a_wrong_wish_is_refused(evaluated, ours):
    end, page, log = ours(run_app, f"local-dir:{evaluated}", "bundled")
    assert not end and not log and f"Model: `local-dir:{evaluated}`" in page
    assert "the bundled one answers instead" not in page
    end, *_ = ours(run_app, f"local-dir:{evaluated}", "yes")
    assert end == "app.py: SKIN_LESION_FALLBACK='yes' is unknown: use 'bundled', or leave it unset."


def test_without_a_network_the_app_ends_in_one_sentence_or_serves_the_bundled_model(tmp_path, picture):
    nowhere, model = Hub(url="http://127.0.0.1:9"), "hf-hub:user/lesions"
    with started(nowhere, tmp_path, SKIN_LESION_MODEL=model) as (url, written):
        assert not url and "Traceback" not in written
        *_, last, status = written.splitlines()
        assert last.startswith(f"app.py: SKIN_LESION_MODEL={model}: The Hub cannot be reached")
        assert status == "exit status 1"
    with started(nowhere, tmp_path, SKIN_LESION_MODEL=model, SKIN_LESION_FALLBACK="bundled") as (url, written):
        assert f"SKIN_LESION_MODEL={model}: The Hub cannot be reached" in written and "Traceback" not in written
        client = Client(url, verbose=False)
        assert f"The model {model} could not be loaded" in client.predict(api_name="/model")["fallback"]
        assert client.predict(handle_file(picture), api_name="/predict")["model"]["source"] == "bundled"
        assert list((tmp_path / "tmp").glob("skin_lesion_*/*/mole.png"))
    assert not list((tmp_path / "tmp").glob("skin_lesion_*")), "stopped by SIGTERM it leaves nothing"
