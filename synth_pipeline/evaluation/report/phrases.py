"""Verdicts, banners and classical tests in words."""

from __future__ import annotations

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

FREE = (
    "Released without privacy gates",
    "Policy {policy} holds no limit that protects people, for it is meant for generators that saw no private row. "
    "That rests on how the data were made, not on any test here: nothing in this report shows that nobody was copied.",
)
"""A policy that protects nobody must not look like one that found everybody safe."""
HOLM = (
    "On its own this would fail; but where many limits are tested at once, one such result may be chance (Holm's "
    "correction). It neither passes nor fails, and blocks."
)

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
