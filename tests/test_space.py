"""What the Space's builder and the Hub will check when this repository is pushed."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def front_matter() -> dict:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_front_matter_is_complete_and_valid(front_matter):
    assert set(front_matter) >= {
        "title",
        "emoji",
        "colorFrom",
        "colorTo",
        "sdk",
        "sdk_version",
        "python_version",
        "app_file",
        "datasets",
        "tags",
        "license",
        "pinned",
        "short_description",
        "suggested_hardware",
    }
    assert front_matter["sdk"] == "gradio" and (ROOT / front_matter["app_file"]).is_file()
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= COLOURS
    assert len(front_matter["short_description"]) <= 60
    assert isinstance(front_matter["sdk_version"], str) and isinstance(front_matter["python_version"], str)


def test_sdk_version_satisfies_the_requirements_and_is_the_one_tested_here(front_matter):
    gradio = next(r for r in requirements() if r.name == "gradio")
    assert front_matter["sdk_version"] in gradio.specifier
    major, minor = front_matter["sdk_version"].split(".")[:2]
    assert version("gradio").split(".")[0] == major and int(version("gradio").split(".")[1]) >= int(minor)


def test_requirements_admit_what_zerogpu_offers():
    admitted = {r.name: r.specifier for r in requirements()}
    for torch_version in ("2.8.0", "2.11.0"):
        assert torch_version in admitted["torch"]


def test_requirements_resolve_together_with_what_the_builder_adds(front_matter, tmp_path):
    """The builder installs gradio[oauth,mcp] at sdk_version, uvicorn, websockets and spaces beside them."""
    extra = [f"gradio[oauth,mcp]=={front_matter['sdk_version']}", "uvicorn", "websockets", "spaces"]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "-r", str(ROOT / "requirements.txt")]
    result = subprocess.run([*command, *extra], capture_output=True, text=True)
    if re.search(r"NewConnectionError|name resolution|Network is unreachable|ProxyError", result.stderr):
        pytest.skip("the package index cannot be reached")
    assert result.returncode == 0, result.stderr


def test_everything_imported_at_run_time_is_listed():
    import ast

    modules = {"PIL": "pillow"}
    found = set()
    for path in [*(ROOT / "skin_lesion").rglob("*.py"), ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    own = {"skin_lesion", "spaces"} | set(sys.stdlib_module_names)
    listed = {r.name for r in requirements()}
    assert {modules.get(m, m) for m in found - own} <= listed


def test_workflows_pin_their_actions_and_ask_for_little():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}
        for action in re.findall(r"uses: (\S+)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
