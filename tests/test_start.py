"""app.py started as a Space starts it: told by variables which model to take from the Hub, with a token as a secret."""

import json
from urllib.request import Request, urlopen

import pytest
from clients import run_push, started
from gradio_client import Client, handle_file
from hub import READER

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
        assert described == model | {"fallback": None, "disclaimer": described["disclaimer"], "metrics": here.metrics}

        with urlopen(f"{url}/config") as response:
            config = json.load(response)
        components = {c["props"].get("elem_id"): c for c in config["components"]}
        assert commit in components["about"]["props"]["value"]
        assert "HAM10000, (c) ViDIR Group" in components["credits"]["props"]["value"]
        shown = components["examples"]["props"]["value"]
        assert [e["caption"] for e in shown] == list(CODES)
        pictures = {r.path.name: r.path.read_bytes() for r in read_ham10000(dataset)}
        for example in shown:
            with urlopen(f"{url}/gradio_api/file={example['image']['path']}") as response:
                assert response.read() == pictures[example["image"]["orig_name"]]
        assert click(url, config, components["examples"], 4)["orig_name"] == shown[4]["image"]["orig_name"]
