"""Diagrams of the Model tab as HTML and SVG that follow the theme, and that say in words what they show.

Nothing is told by colour alone: shapes, line styles and numbers say the same.
"""

from html import escape
from typing import Any

from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.decision import Decision
from skin_lesion.language import Translator

LEFT, TOP, SIDE = 46, 10, 250  # px of the square in which curves are drawn
DARKEST = 55  # per cent of the shade behind a cell, so that its number stays readable


def confusion_html(confusion: list[list[int]], t: Translator) -> str:
    """Counts and shares of the true class; rows are true, columns named by the model."""
    head = "".join(f'<th scope="col">{code}</th>' for code in CODES)
    body = ""
    for code, row in zip(CODES, confusion, strict=True):
        cells = ""
        for other, count in zip(CODES, row, strict=True):
            share, kind = count / max(sum(row), 1), "right" if code == other else "wrong"
            style = f"--share:{DARKEST * share:.0f}%"
            percent = f"{share:.0%}".replace("%", " %")
            cells += f'<td class="{kind}" style="{style}"><strong>{count}</strong> <span>{percent}</span></td>'
        name = escape(t(BY_CODE[code].short_name))
        body += f'<tr><th scope="row"><abbr title="{name}">{code}</abbr></th>{cells}</tr>'
    lead = t(
        "A row is the true class, a column the model’s first guess; below each number its share of the row. The framed "
        "ones are right."
    )
    title = t("Which class was taken for which")
    return f"<p>{lead}</p>" + _scroll(
        title,
        f'<table class="confusion" aria-label="{escape(title)}"><thead><tr><th scope="col">{t("true class")}</th>{head}'
        f"</tr></thead><tbody>{body}</tbody></table>",
    )


def _scroll(name: str, table: str) -> str:
    """A table that scrolls inside itself, by keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{table}</div>'


def reliability_html(bins: list[dict[str, Any]], t: Translator) -> str:
    """How often answers of a given confidence were right, with intervals, and the numbers as a table."""
    marks = ""
    for b in bins:
        x, right = _x(b["confidence"]), b["right"]
        if right["low"] is not None:
            marks += f'<path d="M{x} {_y(right["low"])}V{_y(right["high"])}" class="interval"/>'
        marks += f'<circle cx="{x}" cy="{_y(right["value"])}" r="4" class="point"/>'
    first, last = bins[0], bins[-1]
    text = t(
        "Reliability diagram. Of the answers given with a confidence of about {low}, {low_right} were right; of those "
        "given with about {high}, {high_right}.",
        low=t.percent(first["confidence"]),
        low_right=t.percent(first["right"]["value"]),
        high=t.percent(last["confidence"]),
        high_right=t.percent(last["right"]["value"]),
    )
    caption = t(
        "Is it as sure as it is right? A point on the dashed line says yes; below it the model is too sure of itself. "
        "Bars are 95 % intervals."
    )
    rows = "".join(
        f'<tr><th scope="row">{_bin(b, t)}</th><td>{b["images"]}</td>'
        f"<td>{t.percent(b['confidence'])}</td><td>{_percents(b['right'], t)}</td></tr>"
        for b in bins
    )
    columns = (t("confidence"), t("images"), t("on average"), t("share that was right (95 % interval)"))
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    numbers = t("The numbers of this diagram")
    table = f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        f"<figure>{_axes(marks, t('probability of the first guess'), t('share that was right'), text)}"
        f"<figcaption>{caption}</figcaption><details><summary>{numbers}</summary>{_scroll(numbers, table)}</details>"
        "</figure>"
    )


def _bin(b: dict[str, Any], t: Translator) -> str:
    """'0.93–1.00'"""
    return t.number(f"{b['from']:.2f}–{b['to']:.2f}")


def roc_html(curves: dict[str, dict[str, Any]], decision: Decision | None, t: Translator) -> str:
    """Sensitivity against false alarms of both scores, with the operating points."""
    names = {"melanoma": t("Melanoma"), "malignancy": t("Any malignant or pre-malignant class")}
    drawn, legend = "", ""
    for name, curve in curves.items():
        sensitivity, specificity = curve["sensitivity"]["value"], curve["specificity"]["value"]
        if None in (sensitivity[0], specificity[0]):  # none of these images was held out, or none else
            continue
        points = {
            threshold: f"{_x(1 - off)} {_y(on)}"
            for threshold, on, off in zip(curve["threshold"], sensitivity, specificity, strict=True)
        }
        drawn += f'<path d="M{"L".join(dict.fromkeys(points.values()))}" class="curve {name}"/>'
        for point in decision.points[name] if decision else ():
            if point.threshold in points:
                x, y = points[point.threshold].split()
                drawn += f'<circle cx="{x}" cy="{y}" r="4" class="mark {name}"/>'
        line = f'<svg class="line" viewBox="0 0 30 8" aria-hidden="true"><path d="M0 4H30" class="curve {name}"/></svg>'
        legend += f"<li>{line} {names[name]}</li>"
    caption = t("ROC: the more it finds (upwards), the more false alarms it raises (to the right).")
    if decision:
        caption += " " + t("The rings are the operating points, set on other images.")
    text = t("ROC curves. The numbers of every point are above: move the threshold.")
    return (
        f"<figure>{_axes(drawn, t('false alarms (1 − specificity)'), t('sensitivity'), text)}"
        f'<figcaption>{caption}<ul class="lines">{legend}</ul></figcaption></figure>'
    )


def _axes(inside: str, x_name: str, y_name: str, text: str) -> str:
    """A square from 0 to 1 with the diagonal, and what is drawn in it."""
    right, bottom = LEFT + SIDE, TOP + SIDE
    ticks = "".join(
        f'<path d="M{_x(v)} {bottom}V{TOP}M{LEFT} {_y(v)}H{right}" class="grid"/>'
        f'<text x="{_x(v)}" y="{bottom + 15}" text-anchor="middle">{100 * v:.0f} %</text>'
        f'<text x="{LEFT - 5}" y="{_y(v) + 4}" text-anchor="end">{100 * v:.0f} %</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg class="plot" viewBox="0 0 {right + 16} {bottom + 36}" role="img" aria-label="{escape(text)}">{ticks}'
        f'<path d="M{LEFT} {bottom}L{right} {TOP}" class="diagonal"/>{inside}'
        f'<text x="{LEFT + SIDE / 2}" y="{bottom + 31}" text-anchor="middle">{escape(x_name)}</text>'
        f'<text transform="translate(10 {TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        "</svg>"
    )


def _x(share: float) -> float:
    return round(LEFT + SIDE * share, 1)


def _y(share: float) -> float:
    return round(TOP + SIDE * (1 - share), 1)


def _percents(entry: dict[str, float | None], t: Translator) -> str:
    """'87 % (81–93 %)'"""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "–"
    return f"{value:.0%} ({low:.0%}–{high:.0%})".replace("%", " %")
