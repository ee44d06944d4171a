"""The tab for many images: drop them, watch them being read, sort and filter the table, take it home.

The server remembers the rows of the table for a while, without any image, so that they can be filtered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from skin_lesion.batch import MAX_IMAGES, MAX_ZIP_BYTES, Named, classify, count
from skin_lesion.classes import BY_CODE, CLASSES
from skin_lesion.images import MAX_BYTES
from skin_lesion.language import Translator
from skin_lesion.parts import data_uri
from skin_lesion.predict import Classifier
from skin_lesion.rows import Filter, Row, csv_text, json_text, ordered
from skin_lesion.ui.i18n import block, class_choice, label, language
from skin_lesion.ui.upload import LesionFiles, Range

BATCHES = 2  # read at a time, for all visitors together
QUEUE = "batch"  # in which the tab and the endpoint /batch wait together
WIDTHS = [150, 240, 100, 120, 110, 165, 120]  # px, of the table's columns


@dataclass(eq=False)
class Batch:
    """One visitor's table: the value of a session's state, a copy for each, changed in place as gradcam_tab.Page."""

    rows: list[Row] = field(default_factory=list)
    total: int = 0  # files there are
    asked: int = 0  # how often something newer was wanted
    reading: bool = False

    def begin(self, total: int) -> Callable[[], bool]:
        """Another table; the result tells whether it is still wanted."""
        self.rows, self.total, self.reading = [], total, True
        self.asked += 1
        mine = self.asked
        return lambda: self.asked == mine


def build(classifier: Classifier) -> None:
    """Lay out the tab, with all that happens in it."""
    gr.HTML(block(_intro))
    files = LesionFiles(
        file_count="multiple",
        label=label("Images and zip files"),
        height=170,
        elem_id="batch-files",
    )
    progress = gr.HTML(elem_id="batch-progress")
    stop_button = gr.Button(label("Stop"), size="sm", visible=False, elem_id="batch-stop")
    with gr.Column(visible=False) as results:
        summary = gr.HTML(elem_id="batch-summary")
        with gr.Accordion(label("Filter and sort the table"), open=False, elem_id="batch-filter"):
            codes = gr.CheckboxGroup(
                [(block(partial(class_choice, c)), c.code) for c in CLASSES],
                label=label("Only these classes as the first guess (none chosen: all)"),
            )
            possible = gr.Checkbox(False, label=label("Also where one of them is among the possible classes"))
            several = gr.Checkbox(False, label=label("Only where more than one class is possible"))
            at_most = Range(0, 1, 1, step=0.01, label=label("Only where the first guess has at most this share"))
            problems = gr.Checkbox(
                False, label=label("Only with a problem: not read, not like a dermatoscopic image, or of poor quality")
            )
            order = gr.Radio(
                [
                    (label("As the files were given"), "given"),
                    (label("Highest malignant share first"), "malignant"),
                    (label("Least sure first"), "unsure"),
                ],
                value="given",
                label=label("Order"),
            )
        table = gr.Dataframe(
            datatype=["str", "str", "number", "number", "str", "str", "str"],
            label=label("Answers"),
            show_label=False,
            type="array",
            interactive=False,
            wrap=True,
            max_height=460,
            column_widths=[*WIDTHS],
            buttons=["fullscreen"],
            elem_id="batch-table",
        )
        downloads = gr.HTML(elem_id="batch-downloads")
    batch = gr.State(Batch())

    wanted: list[Any] = [codes, possible, several, at_most, problems, order]
    shown: list[Any] = [files, progress, stop_button, results, downloads, summary, table, batch]
    quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    reading = files.upload(
        partial(read, classifier),
        [files, *wanted, batch],
        shown,
        trigger_mode="multiple",  # the newer one ends the older, see Batch
        concurrency_limit=BATCHES,
        concurrency_id=QUEUE,
        **quietly,
    )
    stop_button.click(stop, [*wanted, batch], shown, cancels=reading, **quietly)
    files.clear(cleared, [*wanted, batch], shown, cancels=reading, **quietly)
    gr.on(
        [component.input for component in wanted],
        again,
        [*wanted, batch],
        [summary, table, batch],
        trigger_mode="always_last",
        **quietly,
    )


def read(classifier: Classifier, files: list[Named], *wanted_and_batch: Any) -> Iterator[tuple[Any, ...]]:
    """New files: how far it is, after each; at the end, or as soon as something newer is wanted, the table."""
    *wanted, batch = wanted_and_batch
    if not files:
        yield (gr.skip(),) * 8
        return
    t = language()
    still_wanted = batch.begin(count(files))
    hidden, visible, skip = gr.update(visible=False), gr.update(visible=True), gr.skip()
    yield skip, progress_html(0, batch.total, t), visible, hidden, "", "", skip, batch
    done = 0
    for row in classify(classifier, files, t):
        if not still_wanted():
            yield (skip,) * 8
            return
        batch.rows.append(row)
        done += row.get("left_out", 1)
        yield skip, progress_html(done, batch.total, t), skip, skip, skip, skip, skip, skip
    yield finished(batch, wanted, t)


def stop(*wanted_and_batch: Any) -> tuple[Any, ...]:
    """The visitor has seen enough: the table of what was read until now."""
    *wanted, batch = wanted_and_batch
    batch.asked += 1
    return finished(batch, wanted, language())


def cleared(*wanted_and_batch: Any) -> tuple[Any, ...]:
    """The visitor takes the files away: that stops the reading of them, and leaves alone the table of earlier ones."""
    return stop(*wanted_and_batch) if wanted_and_batch[-1].reading else (gr.skip(),) * 8


def finished(batch: Batch, wanted: list[Any], t: Translator) -> tuple[Any, ...]:
    """Nothing runs any more, and the uploaded files are let go."""
    batch.reading = False
    hidden, visible = gr.update(visible=False), gr.update(visible=bool(batch.rows))
    return None, "", hidden, visible, downloads_html(batch.rows, t), *_view(batch, wanted, t)


def again(*wanted_and_batch: Any) -> tuple[Any, ...]:
    """Another filter on the same rows: summary, table and state."""
    *wanted, batch = wanted_and_batch
    t = language()
    if not batch.rows:  # the state is gone, but not the page
        text = t("The table was kept for a few minutes only and can no longer be filtered; give the files once more.")
        return f'<div class="notice" role="alert">{text}</div>', gr.skip(), batch
    return _view(batch, wanted, t)


def _view(batch: Batch, wanted: list[Any], t: Translator) -> tuple[str, dict[str, Any], Batch]:
    codes, possible, several, at_most, problems, order = wanted
    wish = Filter(tuple(codes), possible, several, at_most, problems)
    kept = ordered([row for row in batch.rows if wish.keeps(row)], order)
    return summary_html(batch, len(kept), t), table(kept, t), batch


def _intro(t: Translator) -> str:
    text = t(
        "Drop up to {images} images, or zip files of them; reading starts at once. An image may have {image} MB, a zip "
        "file {zip} MB. A file that cannot be read does not stop the others.",
        images=MAX_IMAGES,
        image=MAX_BYTES // 1_000_000,
        zip=MAX_ZIP_BYTES // 1_000_000,
    )
    return f'<p class="small">{text}</p>'


def progress_html(done: int, total: int, t: Translator) -> str:
    text = t("Read {done} of {total}", done=done, total=total)
    return f'<div class="answer"><p><label>{text} <progress value="{done}" max="{total}"></progress></label></p></div>'


def summary_html(batch: Batch, shown: int, t: Translator) -> str:
    """How many were read, how many not, how many look like no dermatoscopic image; and what no table can say."""
    read = [row for row in batch.rows if "error" not in row]
    failed = sum("error" in row and "left_out" not in row for row in batch.rows)
    text = t(
        "Of {total} files {read} could be read and {failed} could not; "
        "{foreign} did not look like a dermatoscopic image.",
        total=batch.total,
        read=len(read),
        failed=failed,
        foreign=sum(row["dermatoscopic"] is False for row in read),
    )
    if left := batch.total - len(read) - failed:
        text += " " + (
            t(
                "Not looked at: {left}; at most {limit} are read at once, so give the rest in another go.",
                left=left,
                limit=MAX_IMAGES,
            )
            if any("left_out" in row for row in batch.rows)
            else t("Stopped; not looked at: {left}.", left=left)
        )
    if shown < len(batch.rows):
        text += " " + t("The filter shows {shown} of {total}.", shown=shown, total=len(batch.rows))
    note = t(
        "The menu ⋮ in the head of a column sorts by it. First guesses of a computer, not diagnoses; of a picture that "
        "does not look like a dermatoscopic image the guess says nothing. A low share does not rule out cancer: show "
        "any lesion that worries you to a clinician."
    )
    return f'<div class="answer" role="status"><p><strong>{escape(text)}</strong></p><p class="small">{note}</p></div>'


def table(rows: list[Row], t: Translator) -> dict[str, Any]:
    """What gr.Dataframe shows: numbers by which it sorts, and beside them the words in which it shows them."""
    headers = [
        t("Image"),
        t("First guess"),
        t("Share"),
        t("Malignant"),
        t("Possible"),
        t("Dermatoscopic"),
        t("Quality"),
    ]
    data = [_cells(row, t) for row in rows]
    display = [[t.percent(cell) if isinstance(cell, float) else cell for cell in cells] for cells in data]
    return {"headers": headers, "data": data, "metadata": {"display_value": display, "styling": None}}


def _cells(row: Row, t: Translator) -> list[str | float | None]:
    if "error" in row:
        return [row["image"], t("not read: {reason}", reason=row["error"]), None, None, "", "", ""]
    seen = [
        {True: t("yes"), False: t("no"), None: t("unknown")}[row["dermatoscopic"]],
        ", ".join(map(hint_words(t).__getitem__, row["quality"])),
    ]
    if row["dermatoscopic"] is False:  # of it the answer says nothing; the downloads have it all the same
        return [row["image"], t("not dermatoscopic"), None, None, "", *seen]
    code = row["prediction"]
    return [
        row["image"],
        f"{t(BY_CODE[code].short_name)} ({code})",
        row["probabilities"][code],
        row["malignant"],
        ", ".join(sorted(row["set90"] or (), key=lambda c: -row["probabilities"][c])),
        *seen,
    ]


def hint_words(t: Translator) -> dict[str, str]:
    """The codes of skin_lesion.quality.HINTS in a word or two: a cell has no room for a sentence."""
    return {
        "small": t("small"),
        "dark": t("dark"),
        "overexposed": t("overexposed"),
        "blurred": t("blurred"),
        "cut_off": t("cut off"),
    }


def downloads_html(rows: list[Row], t: Translator) -> str:
    """Links that carry all rows in themselves, so that no file of them is left on the server."""
    files = {  # the mark at the beginning tells spreadsheets that it is UTF-8
        "csv": ("text/csv", "\ufeff" + csv_text(rows)),
        "json": ("application/json", json_text(rows)),
    }
    links = " · ".join(
        f'<a download="skin_lesions.{ending}" href="{data_uri(text.encode(), f"{kind};charset=utf-8")}">'
        f"skin_lesions.{ending}</a>"
        for ending, (kind, text) in files.items()
    )
    text = t("All rows, whatever the filter shows, with the probabilities of all classes:")
    return f'<p class="answer small">{text} {links}</p>'
