"""What happens when a visitor brings an image, or asks for another map.

An image is classified once; for another map of it, it is read and classified again, so that of a visitor's image
nothing but the map on the page is kept between two requests.
"""

import queue
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Event
from typing import Any

import gradio as gr

from skin_lesion.explain import METHODS, Explanation, OnStep, explain, steps
from skin_lesion.images import ImageError, open_image
from skin_lesion.overlay import render
from skin_lesion.predict import Classifier
from skin_lesion.report import report_html, report_name
from skin_lesion.ui import gradcam_tab, predict_tab
from skin_lesion.ui.gradcam_tab import Page
from skin_lesion.ui.i18n import language


def begin(path: str | None, page: Page) -> tuple[Any, ...]:
    """A new image, or none: nothing of the earlier one stays: answer, map, caption, maps of all classes, and button.

    It runs at once, while `answer` may have to wait; an answer to the earlier image in the making is given up.
    """
    page.begin(path)
    return "", None, "", None, gr.update(visible=False)


def answer(
    classifier: Classifier, path: str | None, opacity: float, beside: bool, page: Page
) -> Iterator[tuple[Any, ...]]:
    """After `begin`, first the answer alone; then with a report to keep, and class, method, map, caption, maps of all
    classes, button and page too.

    Where there is no answer, in its place why. It ends by itself as soon as the page has another image.
    """
    t = language()
    nothing = (gr.skip(),) * 8
    if page.path != path:
        yield nothing
        return
    page.view = opacity, beside
    hidden = gr.update(visible=False)
    if path is None:
        yield predict_tab.empty(t), None, "gradcam", None, gradcam_tab.empty(t), None, hidden, page
        return
    try:
        image = open_image(path)
    except ImageError as error:
        problem = predict_tab.problem_html(error.said(t), t)
        yield nothing if page.path != path else (problem, None, "gradcam", None, problem, None, hidden, page)
        return
    prediction = classifier.predict(image)
    html = predict_tab.answer_html(prediction, classifier.metrics, t)
    if page.path != path:
        yield nothing
        return
    yield html, gr.skip(), gr.skip(), None, gradcam_tab.empty(t), None, hidden, page
    maps = explain(classifier, prediction)
    found = maps[prediction.code]
    now = datetime.now(timezone.utc)
    report = report_html(image, prediction, found, classifier.metrics, t, now)
    link = predict_tab.report_link(report, report_name(now), t)
    picture, small = render(image, found, *page.view), gradcam_tab.all_classes_items(image, maps, t)
    if page.path != path:
        yield nothing
        return
    page.shown = found
    yield (
        predict_tab.answer_html(prediction, classifier.metrics, t, link),
        found.code,
        found.method,
        picture,
        gradcam_tab.caption_html(found, classifier.metrics, t),
        small,
        hidden,
        page,
    )


def reopened(
    classifier: Classifier, path: str | None, opacity: float, beside: bool, page: Page
) -> Iterator[tuple[Any, ...]]:
    """The tab of the maps is opened: where the page was forgotten meanwhile, and its pictures with it, they come anew.

    So `answer` without the answer, which stays: class, method, map, caption, maps of all classes, button and page.
    """
    if path is None or page.path is not None:
        yield (gr.skip(),) * 7
        return
    page.begin(path)
    for _, *maps in answer(classifier, path, opacity, beside, page):
        yield tuple(maps)


def another_map(
    classifier: Classifier, path: str | None, code: str | None, method: str, opacity: float, beside: bool, page: Page
) -> Iterator[tuple[Any, ...]]:
    """Another class or method: map, caption, the button to stop it, and page; until then how far it is.

    It ends by itself as soon as the page wants something newer.
    """
    t = language()
    nothing = (gr.skip(),) * 4
    hidden = gr.update(visible=False)
    still_wanted = page.ask()
    page.view = opacity, beside
    if code is None or page.path not in (path, None):  # `answer` is about to say what is on the page
        yield nothing
        return
    page.path = path  # where the page was forgotten after some minutes, its image may still be there
    if page.shown and (code, method) == (page.shown.code, page.shown.method):  # as `answer` and `stop` set them
        yield gr.skip(), gradcam_tab.caption_html(page.shown, classifier.metrics, t), hidden, gr.skip()
        return
    try:
        image = open_image(path)
    except ImageError as error:
        yield None, predict_tab.problem_html(error.said(t), t), hidden, gr.skip()
        return
    prediction = classifier.predict(image)
    running = step_by_step(lambda on_step: explain(classifier, prediction, [code], method, image, on_step)[code])
    while True:
        try:
            step = next(running)
        except StopIteration as end:
            found = end.value
            break
        if not still_wanted():
            running.close()
            yield nothing
            return
        progress = gradcam_tab.progress_html(t(METHODS[method].name), step, steps(method), t)
        yield gr.skip(), progress, gr.update(visible=True), gr.skip()
    picture, caption = render(image, found, *page.view), gradcam_tab.caption_html(found, classifier.metrics, t)
    if not still_wanted():
        yield nothing
        return
    page.shown = found
    yield picture, caption, hidden, page


def stop(classifier: Classifier, page: Page) -> tuple[Any, ...]:
    """A slow map was given up: class, method and caption of the one that is still shown; and no button."""
    t = language()
    page.ask()
    hidden = gr.update(visible=False)
    if page.shown is None:
        return gr.skip(), gr.skip(), gradcam_tab.empty(t), hidden
    return page.shown.code, page.shown.method, gradcam_tab.caption_html(page.shown, classifier.metrics, t), hidden


def repaint(path: str | None, opacity: float, beside: bool, page: Page) -> Any:
    """The map that is on the page once more, with another opacity; nothing, if another image has come meanwhile."""
    page.view = opacity, beside  # a map in the making takes it from there
    if page.path is None and path:
        t = language()
        gr.Info(t("The map was kept for a few minutes only: choose a class, or the image once more."))
    if page.shown is None or page.path != path:
        return gr.skip()
    try:
        return render(open_image(path), page.shown, opacity, beside)
    except ImageError:  # removed in the meantime; the page says so already
        return gr.skip()


class _Stopped(Exception):
    pass


def step_by_step(work: Callable[[OnStep], Explanation]) -> Generator[int, None, Explanation]:
    """Run `work` in a thread, yield the number of each step as it begins, return what it returns.

    A generator that nobody listens to any more is closed; then the work ends at its next step, and nobody waits for it.
    """
    begun: queue.SimpleQueue[bool] = queue.SimpleQueue()
    stopped = Event()

    def on_step() -> None:
        if stopped.is_set():
            raise _Stopped
        begun.put(True)

    pool = ThreadPoolExecutor(1)
    future = pool.submit(work, on_step)
    future.add_done_callback(lambda _: begun.put(False))
    count = 0
    try:
        while begun.get():
            count += 1
            yield count
    finally:
        stopped.set()
        pool.shutdown(wait=False)  # closing runs in the server's own loop, where waiting would hold up everybody
    return future.result()
