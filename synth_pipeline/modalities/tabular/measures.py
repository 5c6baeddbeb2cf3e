"""Every measure of the tabular modality, put together: scores for the gates and details for the report.

`Findings.details` is JSON, aggregates only: every count of real rows is 0 or ≥ `K`, no real row, no real extreme value.
The publishable report is drawn from it alone.

    {
      "sizes":   {"train", "holdout", "synthetic", "released", "queries": rows; "columns": n; "k": K},
      "columns": [                        # worst shape error first; one per compared column
        {"name", "meaning",
         "shape_error": x, "reference": x | null,     # KS (numbers, dates) or TV (the rest); reference: the holdout's
         "wasserstein": x | null,                     # numbers and dates, in units of train's interquartile spread
         "missing": {"real": share, "synthetic": share},
         "kind": "histogram" | "levels",
         "edges": [number | ISO text] (bins + 1, evenly spaced; both outer bins also hold all beyond),   # histogram
         "levels": [text],                            # levels: commonest first; "…" last stands for all others
         "real": [count], "synthetic": [count],       # by bin or level; real counts < K are 0; missing values left out
         "rows": {"real": n, "synthetic": n}}         # denominators (non-missing rows)
      ],
      "associations": {"columns": [name], "real": [[0..1]], "synthetic": [[0..1]]},   # same order, symmetric
      "pairs": [{"a", "b", "trend_error": x, "reference": x}],      # worst first, at most 30
      "pca":     {"synthetic": [[x, y] …], "real_density": {"x_edges", "y_edges", "counts": [[n, by x][by y]]},
                  "explained": [share, share]},        # counts[i][j]: x bin i, y bin j; cells < K are 0
      "utility": {"target": name | null, "task": "classification" | "regression" | null, "metric": "AUC" | "R²",
                  "models": [{"name": "trained on synthetic" | "trained on real", "value", "low", "high"}],
                  "c2st": {"value", "low", "high", "reference"}},
      "copying": {"share", "low", "high", "pi", "excess",
                  "distances": {"edges": [d], "synthetic_to_train": [n], "synthetic_to_holdout": [n],
                                "holdout_to_train": [n]},          # nearest distances, counts < K are 0
                  "exact": {"in_train": rows, "in_holdout": rows, "of": rows},
                  "replay": [{"name", "in_train": n, "in_holdout": n, "of": n}]},   # distinct near-unique values
      "constraints": [{"constraint": text, "violations": rows, "of": rows}],
      "errors": {measure: text}           # measures that crashed: type of the error only
    }

A part that could not be computed is absent.
"""

from __future__ import annotations

K = 10
"""Fewest real rows behind any number that may be shown."""
