"""A visitor with a real browser: what tests/test_browser.py and make_screenshots.py do on the page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-background-networking"]
DESKTOP, PHONE = (1280, 800), (375, 812)  # px
TIMEOUT = 60_000  # ms; only a page that hangs takes as long


def find_browser() -> str | None:
    """The variable CHROMIUM, a browser on the path, or the one that `playwright install chromium` put somewhere."""
    for found in (os.environ.get("CHROMIUM"), *map(shutil.which, PROGRAMS)):
        if found:
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def launch(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """One page, opened for the first time, that remembers what it asked for and what went wrong."""

    def __init__(
        self, browser: Browser, url: str, size: tuple[int, int] = DESKTOP, scheme: str = "light", **options: Any
    ) -> None:
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        self.context.set_default_timeout(TIMEOUT)
        self.page: Page = self.context.new_page()
        self.asked: list[str] = []  # URLs
        self.problems: list[str] = []
        self.example: int | None = None  # whose answer is shown
        self.running: set[Any] = set()  # requests through which the server is still answering
        self.page.on("request", self._begun)
        self.page.on("requestfinished", lambda request: self.running.discard(request))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", lambda r: self.problems.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(url)
        self.examples.last.locator("img").wait_for()

    def _begun(self, request: Any) -> None:
        self.asked.append(request.url)
        if "/queue/data" in request.url:
            self.running.add(request)

    def _failed(self, request: Any) -> None:
        self.running.discard(request)
        if request.failure != "net::ERR_ABORTED":  # the page itself closes its event streams, and starts downloads
            self.problems.append(f"{request.failure} {request.url}")

    @property
    def examples(self) -> Locator:
        return self.page.locator("#examples button")

    @property
    def tabs(self) -> Locator:
        """Those of the page; a panel may have some of its own."""
        return self.page.get_by_role("tablist").first.get_by_role("tab")

    @property
    def open_panel(self) -> Locator:
        return self.page.locator("[role=tabpanel]").filter(visible=True).first

    def bring(self, action: Any) -> Locator:
        """Do what brings an image, wait for what is said of it, and return that."""
        self.page.evaluate("document.querySelectorAll('#answer *').forEach(e => e.dataset.old = '')")
        action()
        new = self.page.locator("#answer :is(section.answer, .notice):not([data-old])").first
        new.wait_for()
        for _ in range(TIMEOUT // 20):
            if not self.running:  # an answer comes in two parts, and the second may draw the first anew
                return new
            self.page.wait_for_timeout(20)
        raise TimeoutError("the server does not stop answering")

    def click_example(self, index: int = 4) -> Locator:
        """By default the melanoma. Where it is on the page already, nothing changes."""
        if index != self.example:
            self.bring(lambda: self.examples.nth(index).click())
            self.example = index
        return self.page.locator("#answer section.answer")

    def upload(self, path: Path) -> Locator:
        """In the place of the image that is there, if any."""
        remove = self.page.locator("#upload").get_by_label("Remove Image")
        if remove.count():
            remove.click()
            self.page.locator("#answer :is(section.answer, .notice)").first.wait_for(state="detached")
        self.example = None
        return self.bring(lambda: self.page.locator("#upload input[type=file]").set_input_files(path))

    def open_tab(self, tab: int | str) -> Locator:
        """By its number or its data-tab-id; returns its panel as soon as it holds something."""
        button = self.tabs.nth(tab) if isinstance(tab, int) else self.page.locator(f'[role=tab][data-tab-id="{tab}"]')
        button.click()
        self.page.wait_for_function(
            "[...document.querySelectorAll('[role=tabpanel]')].some((p) => p.checkVisibility() && p.innerText.trim())"
        )
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.open_panel

    def close(self) -> None:
        self.context.close()
