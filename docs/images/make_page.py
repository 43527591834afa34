"""Remake the pictures of the live page in README and docs/page.md: runs of three engines, live, as a browser sees them.

pip install playwright pillow      # and a Chromium (Debian: apt install chromium)
python docs/images/make_page.py [page page-smc2 page-bart]
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import livenuts as ln
import livequeue
import numpy as np
from livebart import BARTRegressor
from livenuts import dist, ref
from liverecipes.page import Page
from livesmc2 import run
from livesmc2.models import seir
from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
COLOURS = 96
WIDTH = 1400


def slowly(publisher: livequeue.Publisher, kind: str, seconds: float) -> Callable[[dict[str, Any]], None]:
    """A sink that is not faster than can be watched."""

    def sink(message: dict[str, Any]) -> None:
        publisher(message)
        if message["type"] == kind:
            time.sleep(seconds)

    return sink


def schools(queue: livequeue.Queue) -> None:
    """Eight schools (Rubin 1981), non-centred."""
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
        settings: dict[str, Any] = {"num_warmup": 500, "num_samples": 2000, "num_chains": 4, "early_stop": False}
        sink = slowly(publisher, "nuts.draw/1", 0.006)
        ln.sample(model, seed=4, sink=sink, stop=queue.stop("schools"), progress=False, **settings)


def city(queue: livequeue.Queue) -> None:
    """An epidemic in a city of 20,000 whose transmission falls on day 35; three reports are missing."""
    rng = np.random.default_rng(8)
    susceptible, exposed, infectious = 19_980, 0, 20
    reports = []
    for day in range(100):
        rate = 0.8 if day < 35 else 0.35
        infected = rng.binomial(susceptible, 1 - np.exp(-rate * infectious / 20_000))
        began, ended = rng.binomial(exposed, 1 - np.exp(-0.4)), rng.binomial(infectious, 1 - np.exp(-0.25))
        susceptible, exposed, infectious = (
            susceptible - infected,
            exposed + infected - began,
            infectious + began - ended,
        )
        reports.append(np.nan if day in (20, 50, 51) else float(rng.poisson(max(began, 1e-4))))
    with queue.publisher("city") as publisher:
        sink = slowly(publisher, "smc2.step/1", 0.1)
        run(*seir(20_000, infectious=20), reports, 400, 200, seed=5, sink=sink, stop=queue.stop("city"))


def friedman(queue: livequeue.Queue) -> None:
    """Friedman's first function: of twenty columns five matter."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1000, 20))
    f = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    bart = BARTRegressor(n_trees=50, n_burnin=600, n_draws=1500, n_chains=4, n_jobs=4, random_state=1)
    with queue.publisher("friedman") as publisher:
        sink = slowly(publisher, "bart.draw/1", 0.005)
        bart.fit(X, f + rng.normal(size=1000), sink=sink, stop=queue.stop("friedman"))


@dataclass
class Shot:
    """A picture of a run, taken when the first of the facts above it is large enough."""

    work: Callable[[livequeue.Queue], None]
    schemes: dict[str, str]
    """Light or dark -> what the file's name ends with."""
    height: int
    least: int
    show: tuple[str, ...] = ()


SHOTS = {
    "page": Shot(schools, {"light": "-light", "dark": "-dark"}, 1060, 4000, ("mu", "tau", "theta[0]", "theta[6]")),
    "page-smc2": Shot(city, {"light": ""}, 1240, 75),
    "page-bart": Shot(friedman, {"light": ""}, 1180, 3600),
}


def small(shot: Image.Image) -> Image.Image:
    """The picture in its most frequent colours, which are those of its areas and lines; the others become them."""
    found = shot.getcolors(1 << 24)
    assert found is not None
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(found, reverse=True)[:COLOURS] for part in colour])
    return shot.quantize(palette=palette, dither=Image.Dither.NONE)


def take(name: str, shot: Shot) -> None:
    """Run it, and take its pictures on the way."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    run_id = shot.work.__name__
    with livequeue.connect("memory://") as queue, Page(queue) as page, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        working = threading.Thread(target=shot.work, args=(queue,))
        working.start()
        try:
            tabs = {}
            for scheme in shot.schemes:
                size = {"width": WIDTH, "height": shot.height}
                tabs[scheme] = browser.new_context(viewport=size, color_scheme=scheme).new_page()
                tabs[scheme].goto("&".join([f"{page.url}#{run_id}", *(f"show={name}" for name in shot.show)]))
            for scheme, tab in tabs.items():
                tab.wait_for_function(
                    "least => Number(document.querySelector('[data-testid=facts] dd')"
                    "?.textContent.split(' of ')[0].replace(/\\D/g, '')) >= least",
                    arg=shot.least,
                    timeout=300_000,
                )
                path = FOLDER / f"{name}{shot.schemes[scheme]}.png"
                tab.screenshot(path=path)
                small(Image.open(path).convert("RGB")).save(path, optimize=True)
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        finally:
            queue.request_stop(run_id)
            working.join()
            browser.close()


if __name__ == "__main__":
    for name in sys.argv[1:] or SHOTS:
        take(name, SHOTS[name])
