"""The live part of the Model tab: what a threshold would mean in a thousand patients, read off held-out curves."""

from functools import partial
from html import escape
from typing import Any

import gradio as gr

from skin_lesion.advice import of_100
from skin_lesion.decision import SENSITIVITIES, Decision
from skin_lesion.language import Translator
from skin_lesion.operating import PATIENTS, Outcome, Share, at_threshold, held_out_prevalence
from skin_lesion.ui.i18n import block, label, language
from skin_lesion.ui.upload import Range

STEP, MOST_ILL = 0.5, 500  # per cent between two thresholds of the slider; of PATIENTS at most
START = 0.90  # sensitivity of the operating point that is shown first
COLUMNS, CELL = 40, 10  # of the figure of all patients; px of a cell
ROWS = PATIENTS // COLUMNS
SIGNS = {  # one cell a person
    "found": '<rect x="1" y="1" width="8" height="8" class="found"/>',
    "missed": '<rect x="1" y="1" width="8" height="8" class="missed"/><path d="M3 3l4 4m0-4l-4 4" class="cross"/>',
    "alarmed": '<rect x="1.7" y="1.7" width="6.6" height="6.6" class="alarmed"/>',
    "cleared": '<circle cx="5" cy="5" r="1.5" class="cleared"/>',
}


def build(metrics: dict[str, Any], decision: Decision | None) -> None:
    """Score, threshold and number of ill patients, and below them what these would mean."""
    gr.HTML(block(_lead))
    first = "melanoma"
    score = gr.Radio(
        [
            (label("Melanoma"), "melanoma"),
            (label("Any malignant or pre-malignant class"), "malignancy"),
        ],
        value=first,
        label=label("What to look for"),
        elem_id="model-score",
    )
    threshold = Range(
        0, 100, start(decision, first), step=STEP, precision=2, label=label("Alarm from this share on, in %")
    )
    buttons = {}
    if decision:
        with gr.Row(elem_id="model-points"):
            for sensitivity in SENSITIVITIES:
                buttons[sensitivity] = gr.Button(block(partial(_aim, sensitivity)), size="sm", min_width=90)
    else:
        gr.HTML(block(no_decision))
    ill = Range(
        1,
        MOST_ILL,
        ill_at_first(metrics, first),
        step=1,
        precision=0,
        label=label("How many of 1,000 patients have it"),
        info=label(
            "At first the share among the held-out images. In general practice it is far lower, and most alarms would "
            "then be false: move it there."
        ),
    )
    values = [score, threshold, ill]
    at_first = (first, start(decision, first), ill_at_first(metrics, first))
    result = gr.HTML(block(partial(outcome_html, metrics, *at_first)), elem_id="model-outcome")
    how: dict[str, Any] = {
        "trigger_mode": "always_last",
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    # one event alone writes the result, after every change of a control, whoever made it: so it is of what they show
    gr.on([score.change, threshold.change, ill.change], partial(move, metrics), values, result, **how)
    score.input(partial(other_score, metrics, decision), score, [threshold, ill], **how)
    for sensitivity, button in buttons.items():
        button.click(partial(start, decision, sensitivity=sensitivity), score, threshold, **how)


def _lead(t: Translator) -> str:
    text = t(
        "The model gives each image a share of its belief in melanoma, and in all malignant and pre-malignant classes "
        "together. Whoever uses it must choose from which share on to raise an alarm: a low threshold misses fewer and "
        "raises more false alarms. Try it, on the held-out images."
    )
    return f'<div class="answer"><h2>{t("What a threshold would mean")}</h2><p>{text}</p></div>'


def _aim(sensitivity: float, t: Translator) -> str:
    return t("Aim at {count} of 100", count=round(100 * sensitivity))


def no_decision(t: Translator) -> str:
    text = t("No operating points were set for this model: its folder has no decision.json.")
    return f'<div class="notice" role="note">{text}</div>'


def start(decision: Decision | None, score: str, sensitivity: float = START) -> float:
    """Per cent, of the operating point; without one in the middle."""
    points = decision.points[score] if decision else ()
    return next((round(100 * p.threshold, 2) for p in points if p.sensitivity == sensitivity), 50.0)


def ill_at_first(metrics: dict[str, Any], score: str) -> int:
    """Of PATIENTS, as many as among the held-out images."""
    return min(MOST_ILL, max(1, round(PATIENTS * held_out_prevalence(metrics, score))))


def move(metrics: dict[str, Any], score: str, threshold: float, ill: int) -> str:
    return outcome_html(metrics, score, threshold, ill, language())


def other_score(metrics: dict[str, Any], decision: Decision | None, score: str) -> tuple[float, int]:
    """Threshold and number of ill patients from the beginning."""
    return start(decision, score), ill_at_first(metrics, score)


def outcome_html(metrics: dict[str, Any], score: str, threshold: float, ill: int, t: Translator) -> str:
    """In words, as a figure and as a list. threshold: per cent; ill: of PATIENTS."""
    outcome = at_threshold(metrics, score, threshold / 100, ill / PATIENTS)
    text = t(
        "Alarm from {threshold} on: of 100 held-out images that show it the model finds {found}; of 100 that do not "
        "it leaves {cleared} without an alarm.",
        threshold=t.number(f"{100 * outcome.threshold:.1f} %"),
        found=_with_interval(outcome.sensitivity, t),
        cleared=_with_interval(outcome.specificity, t),
    )
    measures = t(
        "Sensitivity {sensitivity}, specificity {specificity}; in brackets 95 % intervals.",
        sensitivity=t.number(f"{outcome.sensitivity.value:.3f}"),
        specificity=t.number(f"{outcome.specificity.value:.3f}"),
    )
    missed = str(outcome.ill_missed) if outcome.ill_missed or outcome.sensitivity.value == 1 else t("fewer than 1")
    counts = {
        "found": (outcome.ill_found, t("have it, and the model raises the alarm")),
        "missed": (missed, t("have it, and the model stays silent")),
        "alarmed": (outcome.well_alarmed, t("do not have it, and it raises a false alarm")),
        "cleared": (outcome.well_cleared, t("do not have it, and it stays silent")),
    }
    items = "".join(
        f"<li>{sign_svg(sign)} <span><strong>{count}</strong> {words}</span></li>"
        for sign, (count, words) in counts.items()
    )
    lead = t("Among 1,000 patients of whom {ill} have it, that would be about:", ill=outcome.ill)
    described = " ".join([lead, *(f"{count} {words};" for count, words in counts.values())])
    return (
        f'<section class="answer outcome"><div aria-live="polite" aria-atomic="true"><p>{text} '
        f'<span class="small">{measures}</span></p><p>{lead}</p><ul class="counts">{items}</ul>'
        f"<p>{escape(_alarms(outcome, missed, t))}</p></div>{people_svg(outcome, described)}</section>"
    )


def _alarms(outcome: Outcome, missed: str, t: Translator) -> str:
    """What an alarm is worth, and what its absence is not."""
    silent = PATIENTS - outcome.alarms
    text = t("There would be no alarm.")
    if outcome.ppv is not None and outcome.alarms:
        text = t(
            "Of {alarms} alarms {right} would be right ({ppv}).",
            alarms=outcome.alarms,
            right=outcome.ill_found,
            ppv=t.percent(outcome.ppv),
        )
    if silent:
        text += " " + t(
            "Of {silent} patients without an alarm {missed} would have it all the same: silence is no all-clear.",
            silent=silent,
            missed=missed,
        )
    return text


def _with_interval(share: Share, t: Translator) -> str:
    """'87 (81–93)' of 100; 0 and 100 only where they were counted."""
    if share.low is None or share.high is None:
        return str(_of_100(share.value))
    return f"{_of_100(share.value)} ({_of_100(share.low)}–{_of_100(share.high)})"


def _of_100(share: float) -> int:
    return round(100 * share) if share in (0, 1) else of_100(share)


def people_svg(outcome: Outcome, text: str) -> str:
    """All patients, column by column, in the order of SIGNS. text: the same in words."""
    counts = (outcome.ill_found, outcome.ill_missed, outcome.well_alarmed, outcome.well_cleared)
    drawn, begin = "", 0
    for sign, count in zip(SIGNS, counts, strict=True):
        drawn += "".join(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="url(#people-{sign})"/>'
            for x, y, w, h in _cells(begin, begin + count)
        )
        begin += count
    patterns = "".join(
        f'<pattern id="people-{sign}" width="{CELL}" height="{CELL}" patternUnits="userSpaceOnUse">{shape}</pattern>'
        for sign, shape in SIGNS.items()
    )
    return (
        f'<svg class="people" viewBox="0 0 {COLUMNS * CELL} {ROWS * CELL}" role="img" aria-label="{escape(text)}">'
        f"<defs>{patterns}</defs>{drawn}</svg>"
    )


def _cells(begin: int, end: int) -> list[tuple[int, int, int, int]]:
    """x, y, width and height of the at most three rectangles that patients begin … end - 1 fill."""
    found = []
    while begin < end:
        column, row = divmod(begin, ROWS)
        whole = (end - begin) // ROWS if row == 0 else 0
        if whole:
            found.append((column * CELL, 0, whole * CELL, ROWS * CELL))
            begin += whole * ROWS
        else:
            count = min(end - begin, ROWS - row)
            found.append((column * CELL, row * CELL, CELL, count * CELL))
            begin += count
    return found


def sign_svg(sign: str) -> str:
    return f'<svg class="sign" viewBox="0 0 {CELL} {CELL}" aria-hidden="true">{SIGNS[sign]}</svg>'
