"""Remake page-light.png and page-dark.png, which the README shows: a run of NUTS, live, as a browser sees it.

pip install playwright pillow      # and a Chromium (Debian: apt install chromium)
python docs/images/make_page.py
"""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import livenuts as ln
import livequeue
from livenuts import dist, ref
from liverecipes.page import Page
from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
COLOURS = 96
WIDTH, HEIGHT = 1400, 1060
SHOWN_AT = 4000
"""Draws of all chains when the picture is taken."""


def sample(queue: livequeue.Queue) -> None:
    """Eight schools (Rubin 1981), non-centred, not faster than can be watched."""
    model = (
        ln.Model("eight schools")
        .data("sigma", [15, 10, 16, 11, 9, 11, 10, 18])
        .rv("mu", dist.Normal(0, 5))
        .rv("tau", dist.HalfNormal(5))
        .rv("z", dist.Normal(0, 1), shape=8)
        .det("theta", ref("mu") + ref("tau") * ref("z"))
        .obs("y", dist.Normal("theta", "sigma"), [28, 8, -3, 7, -1, 1, 18, 12])
    )
    with queue.publisher("schools") as publisher:

        def sink(message: dict[str, Any]) -> None:
            publisher(message)
            if message["type"] == "nuts.draw/1":
                time.sleep(0.006)

        settings: dict[str, Any] = {"num_warmup": 500, "num_samples": 2000, "num_chains": 4, "early_stop": False}
        ln.sample(model, seed=4, sink=sink, stop=queue.stop("schools"), progress=False, **settings)


def small(shot: Image.Image) -> Image.Image:
    """The picture in its most frequent colours, which are those of its areas and lines; the others become them."""
    found = shot.getcolors(1 << 24)
    assert found is not None
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(found, reverse=True)[:COLOURS] for part in colour])
    return shot.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with livequeue.connect("memory://") as queue, Page(queue) as page, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        sampling = threading.Thread(target=sample, args=(queue,))
        sampling.start()
        try:
            tabs = {}
            for scheme in ("light", "dark"):
                size = {"width": WIDTH, "height": HEIGHT}
                tabs[scheme] = browser.new_context(viewport=size, color_scheme=scheme).new_page()
                shown = "&".join(f"show={name}" for name in ("mu", "tau", "theta[0]", "theta[6]"))
                tabs[scheme].goto(f"{page.url}#schools&{shown}")
            for scheme, tab in tabs.items():
                tab.wait_for_function(
                    "least => Number(document.querySelector('[data-testid=fact-draws] dd')"
                    "?.textContent.replace(/\\D/g, '')) >= least",
                    arg=SHOWN_AT,
                )
                path = FOLDER / f"page-{scheme}.png"
                tab.screenshot(path=path)
                small(Image.open(path).convert("RGB")).save(path, optimize=True)
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        finally:
            queue.request_stop("schools")
            sampling.join()
            browser.close()


if __name__ == "__main__":
    main()
