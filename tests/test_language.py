"""The page in five languages: every marked sentence is translated, with the same fields, and nothing else is."""

import ast
import json
import re
import string
from pathlib import Path

import pytest

from skin_lesion import texts
from skin_lesion.classes import CLASSES
from skin_lesion.explain import METHODS
from skin_lesion.explanation_tables import MEASURES, UNKNOWN
from skin_lesion.language import FOLDER, LANGUAGES, preferred, translator
from skin_lesion.overlay import CAVEAT
from skin_lesion.quality import HINTS

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "app.py", *sorted((ROOT / "skin_lesion").rglob("*.py"))]
OTHERS = [code for code in LANGUAGES if code != "en"]
MARKS = ("t", "label", "ImageError", "self")  # callables whose first argument is a sentence for visitors


def sentences() -> set[str]:
    """Every English sentence that a visitor can see: literals in the calls above, and the data handed to them."""
    found = {UNKNOWN, CAVEAT, *HINTS.values()}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", None)
                if name in MARKS and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    for c in CLASSES:
        found |= {c.name, c.short_name, c.group, c.group_note, c.description, c.dermatoscopy}
    for method in METHODS.values():
        found |= {method.name, method.how}
    found |= {measure.plain for measure in MEASURES.values() if measure.plain}
    found |= {texts.DISCLAIMER, texts.INPUT_NOTE, texts.PRIVACY, texts.DATA, texts.ETHICS, *texts.LIMITS}
    return found


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_has_a_translation_and_no_other_does(code):
    table = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    marked = sentences()
    assert not sorted(marked - set(table)), f"{code}.json lacks these"
    assert not sorted(set(table) - marked), f"nothing shows these of {code}.json any more"


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_keeps_the_fields_and_holds_no_markup(code):
    for english, text in translator(code).table.items():
        assert text.strip() == text and text, english
        assert fields(text) == fields(english), english
        assert not re.search(r"[<>]", text), english
        if english.endswith(("?", ":")):
            assert text.rstrip("\u00a0\u202f ").endswith(english[-1]), english


@pytest.mark.parametrize("code", OTHERS)
def test_the_disclaimer_keeps_its_four_sentences(code):
    assert translator(code)(texts.DISCLAIMER).count(".") == texts.DISCLAIMER.count(".")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "en"),
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("it,pt-BR;q=0.8,en;q=0.9", "en"),
        ("it,pt-BR;q=0.8", "pt"),
        ("fr;q=0,es;q=0.1", "es"),
        ("zh-CN,*;q=0.5", "en"),
        ("de;q=nonsense,;;=", "en"),
    ],
)
def test_the_browser_chooses_the_language(header, code):
    assert preferred(header).code == code


def test_an_unknown_language_is_named_and_an_unknown_sentence_stays_english():
    with pytest.raises(KeyError, match="'xx'.*en, de, es, fr, pt"):
        translator("xx")
    assert translator("de")("Nobody has translated {this}.", this="it") == "Nobody has translated it."


def test_numbers_are_written_as_the_language_does():
    assert translator("en").percent(0.049) == "4.9 %" and translator("de").percent(0.049) == "4,9 %"
    assert translator("en").number("1,234.5") == "1,234.5" and translator("fr").number("1,234.5") == "1\u202f234,5"
