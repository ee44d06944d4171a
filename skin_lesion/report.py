"""An answer to keep: one self-contained HTML page that prints on one sheet, A4 or Letter.

It is made in memory and returned; whoever asked for it decides where it stays. The same arguments give the same page.
"""

import io
from datetime import datetime, timezone
from html import escape
from typing import Any

from PIL import Image

from skin_lesion.decision import LEVELS
from skin_lesion.explain import Explanation
from skin_lesion.images import to_rgb
from skin_lesion.language import Translator
from skin_lesion.overlay import CAVEAT, css_gradient, overlay, shrunk
from skin_lesion.parts import (
    bars_html,
    data_uri,
    foreign_html,
    guess_html,
    legend_html,
    map_html,
    quality_html,
    sets_html,
)
from skin_lesion.predict import Prediction
from skin_lesion.tables import number
from skin_lesion.texts import DISCLAIMER, INPUT_NOTE

SIDE = 480  # px, the longer side of the pictures: 200 dots an inch on paper, some 30 KB each
QUALITY = 85  # of their JPEG

# Paper is white, whatever the screen. Sizes in pt hold on paper, where the longest texts must still fit.
CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 50rem; padding: 1rem; background: #fff; color: #111;
  font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0 1em; }
h1, h2, p, ul, figure { margin: 0 0 .5em; }
h1 { font-size: 1.35em; line-height: 1.25; }
h2 { font-size: 1.1em; margin: .7em 0 .2em; }
ul { padding-inline-start: 1.3em; }
.small, figcaption { font-size: .88em; color: #444; }
.notice { border: 1px solid #b45309; border-inline-start-width: 4px; border-radius: 4px; padding: .35em .7em;
  margin: 0 0 .6em; }
.notice ul { margin: 0; }
.foreign { border-color: #b91c1c; border-width: 2px; border-inline-start-width: 6px; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: .8em; }
img { display: block; width: 100%; height: auto; max-height: 24rem; object-fit: contain; object-position: left top;
  margin-bottom: .3em; }
figcaption p { margin: 0 0 .3em; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: 0 .5em; margin-bottom: .3em; }
.ramp { flex: 1; min-width: 4em; max-width: 14em; height: .7em; border: 1px solid #999;
  background: linear-gradient(to right, GRADIENT); }
.chip { display: inline-block; border: 1px solid; border-radius: 1em; padding: 0 .5em; font-size: .93em; }
.bars { list-style: none; padding: 0; }
.bars li { display: grid; grid-template-columns: 1fr auto; gap: 0 .8em; margin-bottom: .15em; align-items: center; }
.bars .row { display: contents; }
.bars .group { color: #444; }
.bars .value { text-align: end; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.track { grid-column: 1 / -1; height: .6em; border: 1px solid #999; }
.fill { height: 100%; min-width: 1px; }
@media print, (min-width: 44rem) {
  .bars li { grid-template-columns: minmax(0, 36em) minmax(9em, 1fr) 9.5em; }
  .bars .value { order: 1; }
  .track { grid-column: auto; }
}
@page { margin: 10mm 13mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.1pt; line-height: 1.3; }
  .pictures { display: flex; }
  .map { display: flex; gap: .8em; flex: 1; }
  img { width: auto; max-width: 60mm; height: 40mm; }
  .quality ul, .quality li { display: inline; padding: 0; }
  .quality li::before { content: " "; }
  /* where there is more to say: all smaller, and still one sheet */
  main:has(.foreign, .quality li:nth-child(2), .chip:nth-child(4)) { font-size: .9em; }
  main:has(.foreign, .quality li:nth-child(2), .chip:nth-child(4)) img { height: 28mm; }
}
""".replace("GRADIENT", css_gradient())


def report_html(
    image: Image.Image,
    prediction: Prediction,
    explanation: Explanation,
    metrics: dict[str, Any],
    t: Translator,
    now: datetime,
) -> str:
    """The page, in the language of t.

    Args:
        image: RGB, as skin_lesion.images.open_image gives it.
        prediction: of this image.
        explanation: the map of one class for it, as a rule of the predicted one.
        metrics: metrics.json of the model; {} if it has none.
        now: with its time zone; the page names the time in UTC.

    Raises:
        ValueError: `now` says no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"The time {now} names no time zone: use datetime.now(timezone.utc).")
    now = now.astimezone(timezone.utc)
    title = escape(t("Answer of a skin lesion classifier, not of a clinician"))
    parts = [
        f'<header><h1>{title}</h1><p class="small"><time datetime="{now:%Y-%m-%dT%H:%MZ}">{now:%Y-%m-%d %H:%M} UTC'
        "</time></p></header>",
        foreign_html(t) if prediction.dermatoscopic is False else "",
        f'<div class="notice" role="note"><strong>{escape(t(DISCLAIMER))}</strong> {escape(t(INPUT_NOTE))}</div>',
        quality_html(prediction, t),
        *_pictures_and_answer(image, prediction, explanation, metrics, t),
        _what_to_do_html(t),
        _model_html(prediction, metrics, t),
    ]
    body = "\n".join(part for part in parts if part)
    # the policy holds the page to what it carries in itself, wherever it is opened
    return f"""<!DOCTYPE html>
<html lang="{t.code}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}, {now:%Y-%m-%d}</title>
<style>{CSS}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def report_name(now: datetime) -> str:
    """What to call the file: skin-lesion-report-2026-11-24.html."""
    return f"skin-lesion-report-{now.astimezone(timezone.utc):%Y-%m-%d}.html"


def _pictures_and_answer(
    image: Image.Image, prediction: Prediction, explanation: Explanation, metrics: dict[str, Any], t: Translator
) -> list[str]:
    """As on the page: of a picture that looks like no dermatoscopic image, both on a click only, so not printed."""
    small = shrunk(image, SIDE)
    alt = escape(t("The image that was classified"))
    alt_map = escape(t("The image with the map of the chosen class laid over it"))
    caption = escape(t("The image, {size} pixels", size=f"{image.width}×{image.height}"))
    own = f"<figure>{_img(small, alt)}<figcaption>{caption}</figcaption></figure>"
    map_ = (
        f'<figure class="map">{_img(overlay(small, explanation.heat), alt_map)}<figcaption>'
        f"<p>{map_html(explanation, t)}</p>{legend_html(explanation, t)}<p>{escape(t(CAVEAT))}</p>"
        "</figcaption></figure>"
    )
    answer = _answer_html(prediction, metrics, t)
    if prediction.dermatoscopic is False:
        summary = f"<summary>{escape(t('Show the answer all the same'))}</summary>"
        hidden = f'<details>{summary}<div class="pictures">{map_}</div>{answer}</details>'
        return [f'<div class="pictures">{own}</div>', hidden]
    return [f'<div class="pictures">{own}{map_}</div>', answer]


def _img(picture: Image.Image, alt: str) -> str:
    file = io.BytesIO()  # to_rgb drops metadata, of which Pillow writes some into any JPEG
    to_rgb(picture).save(file, "JPEG", quality=QUALITY)
    uri = data_uri(file.getvalue(), "image/jpeg")
    return f'<img alt="{alt}" width="{picture.width}" height="{picture.height}" src="{uri}">'


def _answer_html(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    own = t(
        "Each class has a limit of its own, so a rare one may be named with a smaller share than another that is not."
    )
    note = f'<p class="small">{escape(own)}</p>' if prediction.decision else ""
    sets = sets_html(prediction, metrics, t, LEVELS) + note
    return guess_html(prediction, metrics, t) + sets + bars_html(prediction, t)


def _what_to_do_html(t: Translator) -> str:
    lines = (
        t("Go by the lesion, not by this page: if it is new, changes, itches, bleeds or worries you, see a clinician."),
        t("Neither put off a visit to a clinician nor begin or end a treatment because of this page."),
        t("You can take the page along. It tells which model answered; it does not replace an examination."),
    )
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{escape(t('What to do'))}</h2><ul>{items}</ul>"


def _model_html(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    """Which model answered, how good it is, and where this page is kept."""
    model = t(
        "Model: {source}, revision {revision}.",
        source=f"<code>{escape(prediction.source)}</code>",
        revision=f"<code>{escape(prediction.revision)}</code>",
    )
    kept = t("This report was made in memory and is stored nowhere, except where you save it.")
    return f'<p class="small">{model} {escape(_figures(metrics, t))}<br>{escape(kept)}</p>'


def _figures(metrics: dict[str, Any], t: Translator) -> str:
    test = metrics.get("test")
    if test is None:
        return t("This model folder carries no held-out figures: nothing is known here of how good it is.")
    figure = {name: t.number(number(value)) for name, value in test["headlines"]["balanced_accuracy"].items()}
    return t(
        "Measured on {images} held-out images of {lesions} lesions (split {split}): balanced accuracy {value} "
        "(95 % interval {low} to {high}), which is the share of a class’s images that it names rightly, averaged over "
        "the seven classes.",
        images=t.number(f"{test['images']:,}"),
        lesions=t.number(f"{test['lesions']:,}"),
        split=metrics.get("split", {}).get("fingerprint", "–"),
        value=figure["value"],
        low=figure["low"],
        high=figure["high"],
    )
