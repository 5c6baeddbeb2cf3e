"""What every measure, verdict and check means, in words for somebody who has not met them before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synth_pipeline.evaluation.report.charts import number, percent


@dataclass(frozen=True)
class Words:
    """One measure: its title, what it says, which way is good, and how its values are written."""

    title: str
    means: str
    good: str
    show: Callable[[Any], str] = percent
    at_least: bool = False
    group: str = "fidelity"
    span: tuple[float, ...] = ()
    """Values that the gauge always shows, so that a small difference looks small."""


MEASURES: dict[str, Words] = {
    "copy_excess": Words(
        "Rows that lean on a training row",
        "The estimated share of synthetic rows that lie closer to a person in the training data than chance explains. "
        "People who were never shown to the model are the yardstick.",
        "0 % means that the model remembers nobody; below 0 % is chance.",
        group="copying",
    ),
    "nearest_share": Words(
        "Nearest real row is a training row",
        "Of all synthetic rows, the share whose nearest real row is one the model was trained on.",
        "Equal to training's part of the real rows when the model favours none of them.",
        group="copying",
    ),
    "exact_match_excess": Words(
        "Exact copies beyond chance",
        "Synthetic rows equal to a training row, less how often they equal a held-out row by coincidence.",
        "0 %: simple tables repeat rows by chance, and those do not count.",
        group="copying",
    ),
    "value_replay_excess": Words(
        "Rare values replayed beyond chance",
        "Nearly unique values (identifiers, exact amounts) of the training rows that reappear in the synthetic ones, "
        "less the rate at which held-out values do.",
        "0 %: no training row's private value came back.",
        group="copying",
    ),
    "shape_error": Words(
        "Shape of single columns",
        "How far each column's distribution is from the real one, averaged over columns.",
        "As small as the difference between two random halves of the real data (the reference).",
    ),
    "trend_error": Words(
        "Relations between columns",
        "How far the joint distribution of pairs of columns is from the real one, averaged over pairs.",
        "As small as the reference.",
    ),
    "c2st_auc": Words(
        "Telling real from synthetic",
        "A strong classifier is trained to tell real rows from synthetic ones; this is how well it does.",
        "0.5 is guessing: nobody can tell. 1.0 is always right.",
        show=number,
        span=(0.4, 1.0),
    ),
    "tstr_ratio": Words(
        "Use for machine learning",
        "A model trained on synthetic rows and one trained on real rows are both tested on real rows that neither has "
        "seen; this is the first one's quality over the second one's.",
        "100 %: the synthetic table teaches as much as the real one.",
        at_least=True,
        group="utility",
    ),
    "constraint_violations": Words(
        "Broken rules",
        "The share of released rows that break a constraint of the specification.",
        "0 %.",
    ),
    "missing_error": Words(
        "Missing values",
        "How far the share of missing values is from the real one, averaged over columns.",
        "As small as the reference.",
    ),
}

VERDICTS: dict[str, tuple[str, str, str]] = {
    "pass": ("✓", "Passed", "The whole interval keeps the limit."),
    "fail": ("✕", "Failed", "The whole interval breaks the limit."),
    "inconclusive": ("?", "Inconclusive", "The interval crosses the limit: there are too few rows to decide."),
}

BANNERS: dict[str, tuple[str, str]] = {
    "pass": (
        "Every gate passed",
        "Each limit is kept with 95 % confidence: this table may be released under policy {policy}.",
    ),
    "fail": (
        "A gate failed",
        "At least one limit of the policy is broken with 95 % confidence: this table is not published.",
    ),
    "inconclusive": (
        "Not enough evidence to publish",
        "No limit is surely broken, but at least one could not be shown to hold. Only what passes is published; more "
        "real rows make the intervals narrower.",
    ),
}
"""verdict → headline, explanation; `{policy}` stands for the policy's name."""
BROKEN = ("A check failed", "What the data must keep was not kept: this table is not published.")

TESTS: dict[str, tuple[str, str]] = {
    "ks": (
        "Kolmogorov–Smirnov",
        "The largest gap between two cumulative distributions of a number or date, 0 to 1. Read the size of the gap: "
        "with many rows even a harmless gap is “significant”, so the p-value says little.",
    ),
    "chi_square": (
        "Chi-square",
        "Compares counts of levels. Cramér's V is its effect size, 0 (same shares) to 1; the p-value again mostly "
        "tells how many rows there are.",
    ),
    "logistic": (
        "Logistic detection",
        "A linear classifier tells real from synthetic; AUC by cross-validation, 0.5 is guessing. It sees single "
        "columns only: a table with all relations destroyed can still look perfect to it.",
    ),
    "svc": (
        "SVC detection",
        "The same with a support vector machine (RBF kernel), which also sees relations between columns, on a smaller "
        "sample. The gate uses boosted trees on more rows instead (“telling real from synthetic”).",
    ),
}


def of(name: str) -> Words:
    """A measure's words; a plug-in's own measure goes by its name."""
    return MEASURES.get(name) or Words(name.replace("_", " "), "", "", show=number, group="other")
