"""What the API tab offers to copy: programs that are complete, and that tests/test_api.py runs as they stand."""

import json

BASE = "http://127.0.0.1:7860"  # stands for the address of the page, which the page fills in
LANGUAGES = {
    "Python": "gradio_client",
    "JavaScript": "fetch: Node 18 or a browser",
    "curl": "sh",
}  # with its means

_PYTHON = """\
from gradio_client import Client{handle}

client = Client("{base}")
"""

_CALL_JS = """\
async function call(endpoint, parameters = {}) {
  const url = `${app}/call/v2/${endpoint}`;
  const posted = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(parameters),
  });
  if (!posted.ok) throw new Error(await posted.text());
  const { event_id } = await posted.json();
  const stream = await (await fetch(`${url}/${event_id}`)).text();
  const [, event, data] = stream.match(/event: (complete|error)\\ndata: (.*)/);
  if (event === "error") throw new Error(data);
  return JSON.parse(data);
}
"""

_UPLOAD_JS = """\
async function upload(image) {
  const form = new FormData();
  form.append("files", image, "lesion.jpg");
  const response = await fetch(`${app}/upload`, { method: "POST", body: form });
  if (!response.ok) throw new Error(await response.text());
  const [path] = await response.json();
  return { path, meta: { _type: "gradio.FileData" } };
}
"""

_FILE_JS = """\
import { readFile } from "node:fs/promises";
const image = new Blob([await readFile("lesion.jpg")]);
// in a web page, instead of these two lines:
// const image = document.querySelector("input[type=file]").files[0];

"""


def _javascript(call: str, image: bool = False) -> str:
    head = (_FILE_JS if image else "") + f'const app = "{BASE}/gradio_api";\n'
    return "\n".join([head, *([_UPLOAD_JS] if image else []), _CALL_JS, call])


def _python(call: str, image: bool = False) -> str:
    return _PYTHON.format(base=BASE, handle=", handle_file" if image else "") + call


def _curl(endpoint: str, parameters: str, image: bool = False, then: str = "") -> str:
    upload = """IMAGE=$(curl -fsS "$APP/upload" -F files=@lesion.jpg | tr -d '[]"')\n"""
    return (
        f"APP={BASE}/gradio_api\n"
        + (upload if image else "")
        + f'EVENT=$(curl -fsS "$APP/call/v2/{endpoint}" -H "Content-Type: application/json" \\\n'
        + f"  -d '{parameters}' | cut -d '\"' -f 4)\n"
        + (then or f'curl -fsS "$APP/call/v2/{endpoint}/$EVENT"\n')
    )


_FILE_JSON = """{"path": "'"$IMAGE"'", "meta": {"_type": "gradio.FileData"}}"""

SNIPPETS: dict[str, dict[str, str]] = {
    "predict": {
        "Python": _python(
            'answer = client.predict(handle_file("lesion.jpg"), api_name="/predict")\n'
            'print(answer["prediction"], answer["probabilities"], answer["set95"])\n',
            image=True,
        ),
        "JavaScript": _javascript(
            'const [answer] = await call("predict", { image: await upload(image) });\n'
            "console.log(answer.prediction, answer.probabilities, answer.set95);\n",
            image=True,
        ),
        "curl": _curl("predict", f'{{"image": {_FILE_JSON}}}', image=True),
    },
    "explain": {
        "Python": "import shutil\n\n"
        + _python(
            "overlay, answer = client.predict(\n"
            '    handle_file("lesion.jpg"), target="mel", method="finer", api_name="/explain"\n'
            ")\n"
            'shutil.copy(overlay, "overlay.png")\n'
            'print(answer["target"], answer["probability"], answer["map"])\n',
            image=True,
        ),
        "JavaScript": _javascript(
            'const asked = { image: await upload(image), target: "mel", method: "finer" };\n'
            'const [overlay, answer] = await call("explain", asked);\n'
            "const picture = await (await fetch(overlay.url)).blob(); // a PNG\n"
            "console.log(answer.target, answer.probability, answer.map, picture.size);\n",
            image=True,
        ),
        "curl": _curl(
            "explain",
            f'{{"image": {_FILE_JSON}, "target": "mel", "method": "finer"}}',
            image=True,
            then='ANSWER=$(curl -fsS "$APP/call/v2/explain/$EVENT")\n'
            'curl -fsS -o overlay.png "$(echo "$ANSWER" | grep -o \'"url": "[^"]*\' | cut -d \'"\' -f 4)"\n'
            'echo "$ANSWER"\n',
        ),
    },
    "batch": {
        "Python": _python(
            'files = [handle_file("lesion.jpg"), handle_file("more.zip")]\n'
            'for row in client.predict(files, api_name="/batch"):\n'
            '    print(row["image"], row.get("probabilities"), row.get("error"))\n',
            image=True,
        ),
        "JavaScript": _javascript(
            "const files = [await upload(image)]; // more of them, and zip files\n"
            'const [rows] = await call("batch", { files });\n'
            "for (const row of rows) console.log(row.image, row.probabilities, row.error);\n",
            image=True,
        ),
        "curl": _curl("batch", f'{{"files": [{_FILE_JSON}]}}', image=True),
    },
    "classes": {
        "Python": _python(
            'for lesion in client.predict(api_name="/classes"):\n    print(lesion["code"], lesion["name"])\n'
        ),
        "JavaScript": _javascript(
            'const [classes] = await call("classes");\n'
            "for (const lesion of classes) console.log(lesion.code, lesion.name);\n"
        ),
        "curl": _curl("classes", "{}"),
    },
    "model": {
        "Python": _python(
            'model = client.predict(api_name="/model")\n'
            'print(model["api_version"], model["source"], model["revision"], model["disclaimer"])\n'
        ),
        "JavaScript": _javascript(
            'const [model] = await call("model");\n'
            "console.log(model.api_version, model.source, model.revision, model.disclaimer);\n"
        ),
        "curl": _curl("model", "{}"),
    },
}

MCP = json.dumps({"mcpServers": {"skin-lesion": {"url": f"{BASE}/gradio_api/mcp/"}}}, indent=2) + "\n"
