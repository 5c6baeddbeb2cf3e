"""Dagster's UI in a real browser: the graph, materializing and a backfill by clicks, and what an asset then shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synth_pipeline_tests.orchestration.server import STAGES, Server, declare, serving, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
CHROMIUM = Path(os.environ.get("SYNTH_CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("ui")
    declare(root, "shops", ["north", "south"])
    declare(root, "letters", [], columns={"city": {"pii": "none", "description": "Where they live."}})
    broken = root / "home" / "defs" / "broken"
    broken.mkdir(parents=True)
    (broken / "defs.yaml").write_text("type: synth_pipeline.orchestration.SyntheticDataset\nattributes: {nme: x}\n")
    with serving(root) as found:
        yield found


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=options)
        found = browser.new_page(viewport={"width": 1400, "height": 1000})
        found.set_default_timeout(120_000)
        yield found
        browser.close()


def test_the_graph_shows_six_assets_and_their_source(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/locations/synth_pipeline/asset-groups/letters")
    for name in [*STAGES, "letters"]:
        page.get_by_text(name, exact=True).first.wait_for()


def test_a_wrong_dataset_says_what_is_wrong(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/assets/broken/invalid_definition")
    page.get_by_text('did you mean "name"?').first.wait_for()


def test_materialize_all_by_clicks(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/locations/synth_pipeline/asset-groups/letters")
    page.get_by_role("button", name="Materialize all (6)").click()
    [run] = server.ended(1, 900)
    assert run["status"] == "SUCCESS", server.log(run["runId"])
    page.goto(f"{server.url}/assets/letters/scorecard")
    for text in ("copy_excess", "shape_error", "verdict"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.goto(f"{server.url}/assets/letters/release")
    for text in ("Where they live.", "weight", "v0001"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.goto(f"{server.url}/assets/letters/scorecard?view=checks")
    for text in ("gates", "contract", "residual_scan"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.get_by_text("Passed").first.wait_for()


def test_a_backfill_by_clicks_is_a_run_per_partition(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/locations/synth_pipeline/asset-groups/shops")
    page.get_by_role("button", name="Materialize all (6)").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_text("2 partitions").first.wait_for()
    page.get_by_role("button", name="Launch backfill").click()

    def partitions() -> list[str]:
        tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in server.runs()]
        found = sorted(tag["dagster/partition"] for tag in tags if "dagster/backfill" in tag)
        return found if len(found) == 2 else []

    assert until(partitions, 300) == ["north", "south"]
    done = server.ended(3, 1200)
    assert {run["status"] for run in done} == {"SUCCESS"}, [server.log(run["runId"]) for run in done]
