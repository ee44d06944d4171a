"""The interface's languages: English sentences in the code, their translations in locales/<code>.json.

As in gettext the English sentence itself is the key, so the code reads as the page does, and a sentence that has no
translation yet is shown in English. tests/test_language.py finds the sentences that are marked with `t("…")`, and fails
when a language lacks one or has one that nothing shows any more.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "pt": "Português"}
FOLDER = Path(__file__).with_name("locales")


@dataclass(frozen=True)
class Translator:
    """t("The {n} images", n=3) in one language."""

    code: str  # one of LANGUAGES
    table: dict[str, str] = field(repr=False)  # English -> translation

    def __call__(self, english: str, **values: Any) -> str:
        """The sentence in this language; `values` fill its {fields}."""
        text = self.table.get(english, english)
        return text.format(**values) if values else text

    def number(self, text: str) -> str:
        """A number as English writes it ("1,234.5"), with this language's decimal point and thousands."""
        return text if self.code == "en" else text.translate({ord("."): ",", ord(","): "\u202f"})

    def percent(self, share: float, places: int | None = None) -> str:
        """'87 %', '0.4 %', 'below 0.1 %', never a rounded 0 or 100. places: decimals, if not as many as usual."""
        if share < 0.001:
            return self("below {share}", share=self.number("0.1 %"))
        if share > 0.999:
            return self("above {share}", share=self.number("99.9 %"))
        if places is None:
            places = 0 if 0.1 <= share <= 0.9 else 1
        return self.number(f"{share:.{places}%}").replace("%", " %")


@cache
def translator(code: str = "en") -> Translator:
    """Raises KeyError for a language that is not in LANGUAGES."""
    if code not in LANGUAGES:
        raise KeyError(f"Unknown language {code!r}. The languages are: {', '.join(LANGUAGES)}.")
    table = {} if code == "en" else json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return Translator(code, table)


def preferred(accept_language: str | None) -> Translator:
    """What a browser's header asks for first among LANGUAGES ("pt-BR,pt;q=0.9,en;q=0.8"), else English."""
    wanted = []
    for place, entry in enumerate((accept_language or "").split(",")):
        tag, _, quality = entry.partition(";")
        try:
            weight = float(quality.partition("=")[2] or 1)
        except ValueError:
            weight = 0.0
        wanted.append((-weight, place, tag.strip().lower().split("-")[0]))
    known = [tag for weight, _, tag in sorted(wanted) if tag in LANGUAGES and weight < 0]
    return translator(known[0] if known else "en")
