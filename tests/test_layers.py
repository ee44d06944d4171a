"""The arrows of the architecture: skin_lesion knows neither gradio nor train; nothing imports train."""

import ast
import re
from pathlib import Path

import pytest

from skin_lesion.classes import CLASSES

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for d in ("skin_lesion", "train") for p in (ROOT / d).rglob("*.py")) + [ROOT / "app.py"]


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def within(names: set[str], package: str) -> bool:
    return any(name == package or name.startswith(package + ".") for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path):
    names = imports(path)
    room = path.relative_to(ROOT).parts[0]
    is_ui = "ui" in path.relative_to(ROOT).parts
    if room != "train":
        assert not within(names, "train"), "only training code imports train"
    assert not within(names, "app")
    if room != "app.py" and not is_ui:
        assert not within(names, "gradio"), "only app.py and skin_lesion/ui import gradio"
        assert not within(names, "skin_lesion.ui"), "nothing but app.py imports the pages"


# Within the runtime an arrow points only to the left: classes first, the command line and the pages last.
# Classifier stands beside Prediction in predict, so that classifier.predict needs no import in a circle.
ORDER = [
    "classes",
    "language",
    "images",
    "metadata",
    "rows",
    "quality",
    "answers",
    "examples",
    "texts",
    "tables",
    "decision",
    "operating",
    "predict",
    "batch",
    "advice",
    "hub",
    "model",
    "explain",
    "explanation_tables",
    "overlay",
    "parts",
    "report",
    "__init__",
    "__main__",
]


@pytest.mark.parametrize("module", ORDER)
def test_runtime_modules_import_only_what_stands_before_them(module):
    inner = {n.split(".")[1] for n in imports(ROOT / f"skin_lesion/{module}.py") if n.startswith("skin_lesion.")}
    later = ORDER[ORDER.index(module) :]
    assert not inner & set(later)
    assert {p.stem for p in (ROOT / "skin_lesion").glob("*.py")} == set(ORDER)


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "classes.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_classes_are_defined_once(path):
    text = path.read_text(encoding="utf-8")
    for c in CLASSES:
        assert c.colour not in text.lower(), f"the colour of {c.code} belongs into classes.py"
        assert c.name not in text or c.name == "Melanoma", f"the name of {c.code} belongs into classes.py"
    literals = [
        [e.value for e in node.elts if isinstance(e, ast.Constant)]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.List, ast.Tuple, ast.Set))
    ]
    assert not any({"akiec", "bcc"} <= set(values) for values in literals if all(isinstance(v, str) for v in values))


def test_no_ham10000_image_is_in_the_repository():
    found = [p for p in ROOT.rglob("*") if re.match(r"ISIC_\d{7}", p.name) and not {".venv", "runs"} & set(p.parts)]
    assert not found
