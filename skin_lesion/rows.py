"""The answers for many images as rows: plain objects, which can be filtered and written as CSV or JSON.

A row is {"image": name, **Prediction.to_dict()}, or {"image": name, "error": why there is no answer}.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from skin_lesion.classes import CODES

Row = dict[str, Any]

FURTHER = ("set90", "set95", "malignant", "dermatoscopic", "quality")  # columns of the CSV; lists in one cell
COLUMNS = ("image", "prediction", *CODES, *FURTHER, "source", "revision")  # of an answer
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what makes a spreadsheet run the text of a cell


def csv_line(values: Iterable[Any]) -> str:
    """One line of CSV with its end, in which no text is a formula for a spreadsheet.

    The name of a file is a stranger's text: a name that a spreadsheet would run gets an apostrophe before it
    (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    line = io.StringIO()
    cells = (f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v for v in values)
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def csv_values(row: Row) -> list[Any]:
    """The cells of COLUMNS; those that a row without an answer lacks are None."""
    answer = [row.get("prediction"), *map(row.get("probabilities", {}).get, CODES), *map(row.get, FURTHER)]
    model = row.get("model", {})
    cells = [row["image"], *answer, model.get("source"), model.get("revision")]
    return [" ".join(value) if isinstance(value, list) else value for value in cells]


def csv_text(rows: Iterable[Row]) -> str:
    """All rows under a line of names: COLUMNS, and why there is no answer."""
    lines = [csv_line([*csv_values(row), row.get("error")]) for row in rows]
    return csv_line([*COLUMNS, "error"]) + "".join(lines)


def json_text(rows: Iterable[Row]) -> str:
    """A list of the rows, one in each line."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


@dataclass(frozen=True)
class Filter:
    """Which rows somebody wants to see; as it stands, all of them."""

    codes: tuple[str, ...] = ()  # only with one of these as the first guess; (): whatever it is
    possible: bool = False  # or with one of them among the possible classes
    several: bool = False  # only with more than one possible class
    at_most: float = 1.0  # only with a first guess of at most this probability
    problems: bool = False  # only where something is wrong, with the file or with the picture

    def keeps(self, row: Row) -> bool:
        """A row that says nothing has neither a class nor a probability: asked for one of these, it is left out."""
        if self.problems and not has_problem(row):
            return False
        if says_nothing(row):
            return not self.codes and not self.several and self.at_most >= 1
        classes = {row["prediction"], *((row["set90"] or ()) if self.possible else ())}
        return (
            (not self.codes or not classes.isdisjoint(self.codes))
            and (not self.several or len(row["set90"] or ()) > 1)
            and row["probabilities"][row["prediction"]] <= self.at_most
        )


def says_nothing(row: Row) -> bool:
    """No answer, or one on a picture that does not look like a dermatoscopic image."""
    return "error" in row or row["dermatoscopic"] is False


def has_problem(row: Row) -> bool:
    """A row that says nothing, or one with a hint on the picture's quality: its answer is worth less."""
    return says_nothing(row) or bool(row["quality"])


def ordered(rows: list[Row], order: str) -> list[Row]:
    """Rows "given" (as they are), the highest "malignant" share first, or the most "unsure" first guess first.

    Rows that say nothing come last.

    Raises:
        KeyError: any other order.
    """
    keys: dict[str, Callable[[Row], float]] = {
        "given": lambda row: 0,
        "malignant": lambda row: 1 if says_nothing(row) else -row["malignant"],
        "unsure": lambda row: 2 if says_nothing(row) else row["probabilities"][row["prediction"]],
    }
    return sorted(rows, key=keys[order])
