"""Write the pictures of the README: what a visitor sees of the running app, with the synthetic examples alone.

.venv/bin/python tests/make_screenshots.py [FOLDER]     # docs/, or another folder; needs Chromium or Chrome

It goes the ways of tests/test_browser.py: a PNG file for each of SHOWN and for the phone, and demo.gif.
"""

import io
import sys
import tempfile
from pathlib import Path

from browser import DESKTOP, PHONE, PROGRAMS, Visitor, find_browser, launch
from PIL import Image
from playwright.sync_api import Browser
from served import ROOT, serve_app

MELANOMA, NEVUS, VASCULAR = "mel", "nv", "vasc"
SHOWN = ("predict", "gradcam", "model")  # tabs
WIDTH = 800  # px, of the GIF
MOST = 2_500_000  # bytes, of the GIF
MOTION, REST = 180, 1900  # ms that a frame is shown


class Film:
    """Frames of a page, each as long as it takes to see what is new."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def take(self, duration: int = REST) -> None:
        frame = Image.open(io.BytesIO(self.visitor.page.screenshot())).convert("RGB")
        size = (WIDTH, round(frame.height * WIDTH / frame.width))
        self.frames.append(frame.resize(size, Image.Resampling.LANCZOS))
        self.durations.append(duration)

    def save(self, path: Path) -> None:
        """Raises ValueError where it is too large to be put into a README."""
        # one palette for all, taken from a mosaic of them, so that nothing flickers
        mosaic = Image.new("RGB", (WIDTH, sum(f.height for f in self.frames)))
        for i, frame in enumerate(self.frames):
            mosaic.paste(frame, (0, i * frame.height))
        palette = mosaic.quantize(256, Image.Quantize.MAXCOVERAGE)  # the map's few bright pixels too
        first, *others = (f.quantize(palette=palette) for f in self.frames)
        first.save(path, save_all=True, append_images=others, duration=self.durations, loop=0, optimize=True)
        if path.stat().st_size > MOST:
            raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {MOST:,}: take fewer frames")


def example(visitor: Visitor, code: str) -> None:
    names = visitor.examples.evaluate_all("(all) => all.map((e) => e.innerText.trim())")
    visitor.click_example(names.index(code))


def settle(visitor: Visitor) -> None:
    """Until what is in sight is loaded, and the pointer rests on nothing."""
    visitor.page.mouse.move(1, 1)
    visitor.page.wait_for_function(
        """[...document.images].every((i) => {
            const box = i.getBoundingClientRect();
            return !i.checkVisibility() || box.top > innerHeight || box.bottom < 0 || i.complete;
        })"""
    )
    visitor.page.wait_for_timeout(400)


def desktop(browser: Browser, url: str, folder: Path) -> None:
    """The tabs that the README shows, as they are in sight without scrolling."""
    visitor = Visitor(browser, url, DESKTOP, locale="en-US")
    example(visitor, MELANOMA)
    for name in SHOWN:
        visitor.open_tab(name)
        if name == "gradcam":
            visitor.page.locator("#cam-map img").wait_for()
        settle(visitor)
        visitor.page.screenshot(path=folder / f"{name}.png")
    visitor.close()


def phone(browser: Browser, url: str, folder: Path) -> None:
    visitor = Visitor(browser, url, PHONE, "dark", locale="en-US", device_scale_factor=1.5)
    example(visitor, NEVUS)
    visitor.page.locator("[role=tablist]").evaluate("e => e.scrollIntoView()")
    settle(visitor)
    visitor.page.screenshot(path=folder / "phone_dark.png")
    visitor.close()


def demo(browser: Browser, url: str, folder: Path) -> None:
    """An example, its answer, its map with less and more opacity, another class, another example."""
    visitor = Visitor(browser, url, DESKTOP, locale="en-US")
    film = Film(visitor)
    settle(visitor)
    film.take(REST // 2)
    example(visitor, MELANOMA)
    settle(visitor)
    film.take()
    visitor.open_tab("gradcam")
    visitor.page.locator("#cam-map img").wait_for()
    settle(visitor)
    film.take()
    slider = visitor.page.locator("[role=tabpanel] input[type=range]").filter(visible=True).first
    place = visitor.page.evaluate("scrollY")
    for opacity in ("0.4", "0", "0.4", "0.7"):
        before = visitor.page.locator("#cam-map img").get_attribute("src")
        slider.fill(opacity)
        visitor.page.wait_for_function("(src) => document.querySelector('#cam-map img').src !== src", arg=before)
        visitor.page.evaluate("(y) => scrollTo(0, y)", place)
        settle(visitor)
        film.take(MOTION)
    before = visitor.page.locator("#cam-map img").get_attribute("src")
    visitor.page.locator("#cam-target label").filter(has_text="bkl").click()
    visitor.page.wait_for_function("(src) => document.querySelector('#cam-map img').src !== src", arg=before)
    settle(visitor)
    film.take()
    visitor.open_tab("predict")
    example(visitor, VASCULAR)
    settle(visitor)
    film.take()
    film.save(folder / "demo.gif")
    visitor.close()


def main(folder: Path) -> None:
    program = find_browser()
    if program is None:
        sys.exit(f"make_screenshots.py: no browser; install one of {', '.join(PROGRAMS)}, or run make browser.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp, serve_app(Path(temp)) as served, launch(program) as browser:
        desktop(browser, served.url, folder)
        phone(browser, served.url, folder)
        demo(browser, served.url, folder)
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
