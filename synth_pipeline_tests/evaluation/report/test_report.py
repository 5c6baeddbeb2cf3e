from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.profile import compare, profile
from synth_pipeline.evaluation.report import render_internal, render_public, words
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.render import MAX_BYTES
from synth_pipeline.evaluation.report.suppress import suppressed
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.protocols.measure import Score
from synth_pipeline.seeds import Seeds
from synth_pipeline_tests.evaluation.report import examples

VOID = {"meta", "br", "rect", "path", "line", "circle", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: tags with their attributes, texts, ids; complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]


def frame(n: int = 400) -> pa.Table:
    draw = np.random.default_rng(3)
    return pa.table(
        {
            "age": draw.integers(18, 90, n),
            "income": np.where(draw.random(n) < 0.1, np.nan, draw.gamma(2, 900, n)),
            "ward": draw.choice(["north", "south", "west"], n),
        }
    )


def internal(scorecard: Scorecard, **changes: Any) -> str:
    found = {name: profile(frame(), seeds=Seeds(0), internal=name == "real") for name in ("real", "synthetic")}
    given = {
        "profile": {**found, "comparison": compare(frame(), frame(), Seeds(0))},
        "history": examples.history(),
        "lineage": examples.manifest(),
        "protections": examples.protections(),
    }
    return render_internal(scorecard, **{**given, **changes})


def public(scorecard: Scorecard, **changes: Any) -> str:
    found = profile(frame(), seeds=Seeds(0), internal=False)
    given = {"manifest": examples.manifest(), "synthetic_profile": found, "history": examples.history()}
    return render_public(scorecard, **{**given, **changes})


@pytest.mark.parametrize(("render", "only"), [(internal, {"tests"}), (public, {"load"})])
def test_each_flavour_has_its_sections_and_a_table_of_contents(render: Any, only: set[str]):
    page = Page(render(examples.scorecard()))
    common = {"verdict", "gates", "copying", "columns", "associations", "overview-picture", "utility", "training"}
    common |= {"attacks", "membership", "audit", "untested", "likeness", "groups"}
    common |= {"measures", "checks", "warnings", "protections", "profile", "lineage"}
    assert common | only <= set(page.ids)
    assert not {"tests", "load"} - only & set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert links == {f"#{id_}" for id_ in page.ids if id_ not in ("verdict", "verdict-title")}
    assert [tag for tag, _ in page.tags].count("h1") == 1


@pytest.mark.parametrize("render", [internal, public])
def test_nothing_is_fetched_and_nothing_can_run(render: Any):
    html = render(examples.scorecard(names=examples.HOSTILE, levels=examples.HOSTILE))
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in attrs)
        assert not attrs.get("href") or attrs["href"].startswith("#")
    assert not re.search(r"https?://|url\(|@import", html)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("render", [internal, public])
def test_hostile_names_and_levels_are_shown_as_they_are(render: Any):
    card = examples.scorecard(
        names=examples.HOSTILE, levels=examples.HOSTILE, dataset="</title><b>x", warnings=("<b>w",)
    )
    html = render(card)
    page = Page(html)
    assert "<script>alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "49" not in [text.strip() for text in page.texts if "7*7" in text]
    assert "<b>x" not in html
    assert "<b>w" not in html
    assert "n" * 300 not in html


def test_thousands_of_columns_stay_small():
    for render in (internal, public):
        html = render(examples.scorecard(wide=1200))
        assert len(html.encode()) < MAX_BYTES
        assert "worst of 1,206 are drawn" in Page(html).text


def test_profiles_of_thousands_of_columns_stay_small():
    draw = np.random.default_rng(0)
    wide = pa.table({f"column {i} " + "x" * 60: draw.normal(size=40) for i in range(1500)})
    found = profile(wide, seeds=Seeds(0), internal=True)
    html = internal(examples.scorecard(), profile={"real": found, "synthetic": found})
    assert len(html.encode()) < MAX_BYTES
    assert "1,500" in Page(html).text


def test_ends_are_named_for_what_they_are():
    assert ">Max<" in internal(examples.scorecard(), profile={"real": profile(frame(), seeds=Seeds(0), internal=True)})
    html = public(examples.scorecard())
    assert ">Max<" not in html
    assert ">99 %<" in html


def test_every_frozen_measure_has_words():
    frozen = "copy_excess nearest_share exact_match_excess value_replay_excess shape_error trend_error c2st_auc "
    frozen += "tstr_ratio constraint_violations missing_error near_match_excess cumulative_exposure c_t nndr_excess "
    frozen += "authenticity_excess singling_out_univariate singling_out_multivariate linkability attribute_inference "
    frozen += "mia_auc mia_tpr audit_epsilon triple_error k_marginal pmse_ratio precision recall density coverage "
    frozen += "trts_ratio augmentation_gain group_shape_error group_copy_excess group_tstr_ratio "
    frozen += "demographic_parity_gap equalized_odds_gap corner_copy_excess attribute_inference_overall"
    assert set(frozen.split()) == set(words.MEASURES)
    assert words.of("unheard_of").title == "unheard of"


def test_every_verdict_says_why_in_words():
    passed, failed, unsure = (Page(internal(examples.scorecard(v))).text for v in ("pass", "fail", "inconclusive"))
    assert "Every gate passed" in passed
    assert "may be released under policy" in passed
    assert "may be published" not in passed
    assert "A gate failed" in failed
    assert "31\u00a0%" in failed
    assert "at most 8\u00a0% is asked for" in failed
    assert "Not enough evidence to publish" in unsure
    assert "The interval crosses the limit" in unsure


def test_a_blocking_check_turns_the_banner_even_if_all_gates_passed():
    check = {"name": "residual scan", "passed": False, "blocking": True, "note": "3 hits", "observed": {}, "rows": 9}
    page = Page(internal(examples.scorecard("pass", checks=(check,))))
    assert "A check failed" in page.text
    assert "residual scan: 3 hits." in page.text


def test_a_scorecard_without_details_still_makes_a_report():
    bare = examples.scorecard(details={}, checks=(), warnings=(), gates=(), scores={})
    for html in (
        render_internal(bare, profile={}, history=[], lineage={}),
        render_public(bare, manifest={}, synthetic_profile={}),
    ):
        assert {"verdict"} <= set(Page(html).ids)


def test_measures_that_crashed_are_said_to_have():
    card = examples.scorecard(scores={"c2st_auc": Score(None, error="MemoryError")}, gates=())
    assert "MemoryError" in Page(internal(card)).text


def test_values_that_are_not_finite_do_not_break_the_page():
    scores = {"copy_excess": Score(float("nan"), float("-inf"), float("inf"), float("nan"), 3)}
    history = [{"step": 0, "loss": float("nan")}, {"step": 1, "loss": float("inf")}, {"step": 2, "loss": 1.0}]
    html = internal(examples.scorecard(scores=scores), history=history)
    assert "nan" not in "".join(re.findall(r'(?:d|x|y|width|cx)="[^"]*"', html))


def test_the_internal_flavour_says_so_and_the_public_one_holds_no_real_profile():
    assert "INTERNAL: holds statistics of protected rows" in Page(internal(examples.scorecard())).text
    page = Page(public(examples.scorecard()))
    assert "INTERNAL" not in page.text
    assert "Internal" not in page.text
    assert "protected/train" not in page.text


def test_small_counts_of_real_rows_never_reach_the_public_page():
    card = examples.scorecard()
    rare = {
        "name": "town", "meaning": "category", "shape_error": 0.1, "reference": 0.1, "kind": "levels",
        "levels": ["Rarely-on-Sea", "Common", "…"], "real": [3, 500, 20], "synthetic": [4, 510, 10],
    }  # fmt: skip
    binned = {**card.details["columns"][0], "real": [1, 2, 9, 10, 11] + [50] * 25}
    details = {**card.details, "columns": [rare, binned]}
    html = public(dataclasses.replace(card, details=details))
    assert "Rarely-on-Sea" not in html
    assert "Rarely-on-Sea" in internal(dataclasses.replace(card, details=details))
    safe = suppressed(details)
    assert safe["columns"][0] == {**rare, "levels": ["Common", "…"], "real": [500, 23], "synthetic": [510, 14]}
    assert safe["columns"][1]["real"] == [0, 0, 0, 10, 11] + [50] * 25
    assert "exact" not in safe["copying"]
    told = Score(0.00004, 0.0, 0.0001, 0.0, 26_126, "1 released row equals a training row")
    counted = dataclasses.replace(card, scores={**card.scores, "exact_match_excess": told})
    assert "equals a training row" in internal(counted)
    assert "equals a training row" not in public(counted)
    few = suppressed({**details, "columns": [{**binned, "missing": {"real": 5 / 16_281, "synthetic": 0.1}}]})
    assert few["columns"][0]["missing"] == {"real": 0.0, "synthetic": 0.1}
    assert "replay" not in safe["copying"]
    json.dumps(safe)


@pytest.mark.parametrize(
    ("real", "gone", "counts", "shown"),
    [
        (3, 997, [0, 3], (0, 1.0, [0, 0])),  # three rows have a value at all
        (997, 3, [500, 497], (1_000, 0.0, [503, 497])),  # three have none
        (900, 100, [600, 293], (900, 0.1, [607, 293])),  # seven are in bins too small to show
        (900, 100, [600, 280], (900, 0.1, [600, 280])),
        (5, 4, [5, 0], (0, 0.0, [0, 0])),
    ],
)
def test_no_small_count_follows_from_the_others(
    real: int, gone: int, counts: list[int], shown: tuple[int, float, list[int]]
):
    column = {
        "name": "a", "kind": "histogram", "edges": [0, 1, 2], "real": counts, "synthetic": [5, 5],
        "missing": {"real": gone / (real + gone), "synthetic": 0.1}, "rows": {"real": real, "synthetic": 10},
    }  # fmt: skip
    safe = suppressed({"sizes": {"train": real + gone, "K": 10}, "columns": [column]})["columns"][0]
    assert (safe["rows"]["real"], safe["missing"]["real"], safe["real"]) == shown
    assert suppressed({"sizes": {"train": real + gone, "K": 10}, "columns": [safe]})["columns"][0] == safe


def test_the_outer_bins_name_no_extreme_value():
    card = examples.scorecard()
    edges = [-98765.4, *range(29), 98765.4]
    column = {**card.details["columns"][0], "edges": edges}
    html = public(dataclasses.replace(card, details={**card.details, "columns": [column]}))
    assert "98,765" not in html
    assert "< 0" in Page(html).text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (12345, "12,345"),
        (0.12345, "0.123"),
        (-2.5, "−2.5"),
        (1e9 + 0.5, "1e+09"),
        (1234.6, "1,235"),
    ],
)
def test_numbers_read_well(value: Any, shown: str):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.0, "0 %"), (0.08, "8 %"), (0.0004, "0.04 %"), (-0.039, "−3.9 %"), (1, "100 %")]
)
def test_shares_read_well(value: Any, shown: str):
    assert percent(value) == shown.replace(" ", "\u00a0")
