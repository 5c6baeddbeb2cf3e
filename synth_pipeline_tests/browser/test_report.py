"""The report in a real browser: both widths and themes, nothing fetched or run, nothing wider than the screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.profile import compare, profile
from synth_pipeline.evaluation.report import render_internal, render_public
from synth_pipeline.seeds import Seeds
from synth_pipeline_tests.evaluation.report import examples

pytestmark = pytest.mark.slow
HOSTILE = examples.HOSTILE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium here")
    with sync.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both flavours of a scorecard with hostile names, and of one that failed."""
    draw = np.random.default_rng(5)
    rows = pa.table({name: draw.normal(size=300) for name in HOSTILE} | {"ward": draw.choice(["n", *HOSTILE], 300)})
    found = profile(rows, seeds=Seeds(0), internal=True)
    card = examples.scorecard("inconclusive", names=HOSTILE, levels=HOSTILE)
    pages = {
        "internal": render_internal(
            card,
            profile={"real": found, "synthetic": found, "comparison": compare(rows, rows, Seeds(0))},
            history=examples.history(),
            lineage=examples.manifest(),
            protections=examples.protections(),
        ),
        "public": render_public(
            card, manifest=examples.manifest(), synthetic_profile=found, history=examples.history()
        ),
    }
    folder = tmp_path_factory.mktemp("reports")
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, "utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.mark.parametrize("flavour", ["internal", "public"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_reads_and_asks_for_nothing(
    browser: Any, reports: dict[str, Path], flavour: str, width: int, scheme: Any
):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(reports[flavour].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not said
    assert asked == [reports[flavour].as_uri()]
    assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith("system-ui")  # the style was let in
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert _contrast(ink, paper) > 7
    page.close()


def test_links_of_the_contents_lead_to_their_sections(browser: Any, reports: dict[str, Path]):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.goto(reports["public"].as_uri())
    page.click("nav >> text=How to load this")
    page.wait_for_url("**#load")
    assert page.evaluate("document.querySelector('#load').getBoundingClientRect().top") < 900
    page.close()


def _contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two `rgb(…)` colours."""
    lights = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(float(np.dot(linear, (0.2126, 0.7152, 0.0722))))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
