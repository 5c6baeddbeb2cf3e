"""What a table holds, column by column, and how two tables differ by classical tests: for people, never for gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.sample import draw
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, columns
from synth_pipeline.seeds import Seeds

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

ROWS = 50_000
"""Rows that statistics are computed from; rows and missing values are counted over all."""
K = 10
"""Fewest rows behind a level that is named."""
LEVELS = 20
CORRELATED = 40
"""Columns of a correlation matrix."""
TESTED = 300
"""Columns that tests and detectors look at."""


def profile(
    rows: Records | pa.Table, *, seeds: Seeds, internal: bool, split: str | None = None, most: int = 1000
) -> dict[str, Any]:
    """Overview, statistics, missing values, distinct values, levels, correlations, duplicates; JSON.

    Identifiers, surrogates and free text are counted but never quoted. Levels of fewer than `K` rows are never named.

    Args:
        internal: whether extremes may be shown; else the 1 % and 99 % quantiles stand in for them.
        most: columns that are described.
    """
    records = rows if isinstance(rows, Records) else Records.of(rows)
    cols = columns(records.schema())
    total, missing = _count(records, split, cols)
    table = _plain(draw(records, split, ROWS, seeds))
    fields = [
        _field(column, table.column(column.name), total, missing[column.name], internal) for column in cols[:most]
    ]
    correlations = _correlations(table, cols)
    return {
        "rows": total,
        "columns": len(cols),
        "ends": "extremes" if internal else "quantiles",
        "missing": sum(missing.values()),
        "looked_at": table.num_rows,
        "duplicates": {"rows": _duplicates(table, cols), "of": table.num_rows},
        "fields": fields,
        "correlations": correlations,
        "alerts": list(_alerts(fields, correlations)),
    }


def compare(
    real: Records | pa.Table, synthetic: Records | pa.Table, seeds: Seeds, *, split: str | None = None
) -> dict[str, Any]:
    """KS (numbers, dates) and chi-square on counts (the rest) by column; detection by logistic regression and an SVC.

    Both sides are seeded samples of equal size, so that p-values do not depend on how many rows were drawn.

    Args:
        split: of the real records.
    """
    left, right = (
        _plain(draw(side if isinstance(side, Records) else Records.of(side), part, ROWS, seeds.child(name)))
        for side, part, name in ((real, split, "real"), (synthetic, None, "synthetic"))
    )
    n = min(left.num_rows, right.num_rows)
    left, right = (_some(side, n, seeds.child("equal", i)) for i, side in enumerate((left, right)))
    shared = [c for c in columns(left.schema) if c.name in right.schema.names and _comparable(c)][:TESTED]
    tests = [found for c in shared if (found := _test(c, left.column(c.name), right.column(c.name)))]
    return {"columns": tests, "detection": list(_detect(left, right, shared, seeds)), "rows": n}


def _count(records: Records, split: str | None, cols: list[Column]) -> tuple[int, dict[str, int]]:
    total, missing = 0, dict.fromkeys((column.name for column in cols), 0)
    for _, batch in records.batches(split, records.tables[0]):
        total += batch.num_rows
        for column in cols:
            missing[column.name] += batch.column(column.name).null_count
    return total, missing


def _field(column: Column, values: pa.ChunkedArray, total: int, missing: int, internal: bool) -> dict[str, Any]:
    held = values.drop_null()
    distinct = pc.count_distinct(held).as_py() if _hashable(held.type) else None
    ratio = (distinct or 0) / max(1, len(held))
    found: dict[str, Any] = {
        "name": column.name,
        "meaning": column.meaning.value,
        "type": str(column.type),
        "rows": total,
        "missing": missing,
        "distinct": distinct,
        "constant": len(held) > 0 and distinct == 1,
        "high_cardinality": column.meaning is Meaning.CATEGORY and (distinct or 0) > 50 and ratio > 0.05,
    }
    if not _comparable(column) or not len(held):
        return found
    if column.meaning is Meaning.NUMBER and _numeric(column.type):
        found["number"] = _statistics(_floats(held), internal)
    elif column.meaning is Meaning.DATETIME and pa.types.is_temporal(column.type):
        found["date"] = _dates(held, internal)
    elif distinct is not None:
        counts = sorted(_levels(held), key=lambda level: (-level[1], level[0]))
        named = [(level[:80], count) for level, count in counts if count >= K][:LEVELS]
        found["levels"], found["others"] = named, len(held) - sum(count for _, count in named)
    return found


def _statistics(x: np.ndarray, internal: bool) -> dict[str, Any]:
    x = x[np.isfinite(x)]
    if not len(x):
        return {"n": 0, "outliers": 0}
    ends = (0 if internal else 0.01, 0.25, 0.5, 0.75, 1 if internal else 0.99)
    with np.errstate(all="ignore"):  # differences of the largest floats overflow
        low, q1, median, q3, high = np.quantile(x, ends)
        mean, std = float(np.mean(x)), float(np.std(x))
        skewness = float(np.mean(((x - mean) / std) ** 3)) if std > 0 else 0.0
    reach = 1.5 * (q3 - q1)
    numbers = {
        "mean": mean,
        "std": std,
        "min": low,
        "q1": q1,
        "median": median,
        "q3": q3,
        "max": high,
        "skewness": skewness,
    }
    return {
        "n": len(x),
        "outliers": int(np.count_nonzero((x < q1 - reach) | (x > q3 + reach))),
        **{name: float(f"{value:.6g}") if np.isfinite(value) else None for name, value in numbers.items()},
    }


def _dates(held: pa.ChunkedArray, internal: bool) -> dict[str, str]:
    whole = pc.sort_indices(held)
    share = {"min": 0.0 if internal else 0.01, "median": 0.5, "max": 1.0 if internal else 0.99}
    return {name: str(held[whole[round(q * (len(held) - 1))].as_py()].as_py())[:19] for name, q in share.items()}


def _levels(held: pa.ChunkedArray) -> list[tuple[str, int]]:
    counts = pc.value_counts(held.combine_chunks())
    return list(zip(map(str, counts.field(0).to_pylist()), counts.field(1).to_pylist(), strict=True))


def _duplicates(table: pa.Table, cols: list[Column]) -> int:
    """Rows equal to an earlier one in all that describes them (keys and surrogates differ by design)."""
    from pandas.util import hash_array

    names = [c.name for c in cols if _comparable(c)]
    if not names or not table.num_rows:
        return 0
    combined = np.zeros(table.num_rows, dtype=np.uint64)
    for name in names:
        codes = table.column(name).combine_chunks()
        if not _hashable(codes.type):
            continue
        encoded = codes.dictionary_encode(null_encoding="encode")
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        combined = combined * np.uint64(0x9E3779B97F4A7C15) + hash_array(indices)
    return int(table.num_rows - len(np.unique(combined)))


def _correlations(table: pa.Table, cols: list[Column]) -> dict[str, Any]:
    """Spearman's, over rows that hold both values."""
    names = [c.name for c in cols if c.meaning is Meaning.NUMBER and _numeric(c.type) and not c.surrogate][:CORRELATED]
    if len(names) < 2 or table.num_rows < 3:
        return {}
    from scipy.stats import rankdata

    ranks = []
    for name in names:
        x = _floats(table.column(name))
        gaps = ~np.isfinite(x)
        rank = np.where(gaps, np.nan, rankdata(np.where(gaps, np.inf, x)))
        ranks.append(rank - np.nanmean(rank) if not gaps.all() else np.zeros_like(rank))
    matrix = np.nan_to_num(np.asarray(ranks))  # a gap pulls towards no correlation, as it should for a picture
    scale = np.sqrt((matrix**2).sum(axis=1))
    scale[scale == 0] = np.inf
    values = (matrix @ matrix.T) / np.outer(scale, scale)
    return {"columns": names, "values": np.round(values, 3).tolist()}


def _alerts(fields: list[dict[str, Any]], correlations: dict[str, Any]) -> Iterator[dict[str, str]]:
    for field in fields:
        share = field["missing"] / max(1, field["rows"])
        if field["rows"] and share == 1:
            yield {"column": field["name"], "what": "holds no value"}
        elif share > 0.3:
            yield {"column": field["name"], "what": f"{100 * share:.0f} % missing"}
        if field["constant"]:
            yield {"column": field["name"], "what": "constant"}
        if field["high_cardinality"]:
            yield {"column": field["name"], "what": f"{field['distinct']:,} levels: high cardinality"}
        note = field.get("number", {})
        if note.get("n") and note["outliers"] / note["n"] > 0.05:
            yield {"column": field["name"], "what": f"{100 * note['outliers'] / note['n']:.0f} % outliers"}
        if abs(note.get("skewness") or 0) > 5:
            yield {"column": field["name"], "what": "strongly skewed"}
    names = correlations.get("columns", [])
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            if abs(correlations["values"][i][j]) > 0.95:
                yield {"column": a, "what": f"almost a function of {b[:60]}"}


def _test(column: Column, real: pa.ChunkedArray, synthetic: pa.ChunkedArray) -> dict[str, Any] | None:
    a, b = real.drop_null(), synthetic.drop_null()
    if len(a) < 2 or len(b) < 2:
        return None
    if column.meaning in (Meaning.NUMBER, Meaning.DATETIME) and (_numeric(a.type) or pa.types.is_temporal(a.type)):
        from scipy.stats import ks_2samp

        x, y = (side[np.isfinite(side)] for side in (_floats(a), _floats(b)))
        if len(x) < 2 or len(y) < 2:
            return None
        result = ks_2samp(x, y, method="asymp")
        return {
            "name": column.name,
            "test": "ks",
            "effect": float(result.statistic),
            "p": float(result.pvalue),
            "n": min(len(x), len(y)),
        }
    if not _hashable(a.type):
        return None
    return _chi_square(column.name, dict(_levels(a)), dict(_levels(b)))


def _chi_square(name: str, real: dict[str, int], synthetic: dict[str, int]) -> dict[str, Any] | None:
    """On counts; levels too rare for the test's approximation are taken together."""
    from scipy.stats import chi2_contingency

    table = np.array([[real.get(level, 0), synthetic.get(level, 0)] for level in sorted({*real, *synthetic})], float).T
    rare = table.sum(axis=0) * table.sum(axis=1).min() / table.sum() < 5
    if rare.sum() > 1:
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    n = table.sum()
    if table.shape[1] < 2:
        return {
            "name": name,
            "test": "chi_square",
            "effect": 0.0,
            "statistic": 0.0,
            "dof": 0,
            "p": 1.0,
            "n": int(n // 2),
        }
    statistic, p, dof, _ = chi2_contingency(table, correction=False)
    return {
        "name": name,
        "test": "chi_square",
        "effect": float(np.sqrt(statistic / n)),  # Cramér's V of a table with two rows
        "statistic": float(statistic),
        "dof": int(dof),
        "p": float(p),
        "n": int(n // 2),
    }


def _detect(real: pa.Table, synthetic: pa.Table, cols: list[Column], seeds: Seeds) -> Iterator[dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    detectors: list[tuple[str, int, ClassifierMixin]] = [
        ("logistic", 2_500, LogisticRegression(max_iter=200)),
        ("svc", 1_000, SVC(kernel="rbf", random_state=0)),
    ]
    for name, most, classifier in detectors:
        n = min(real.num_rows, synthetic.num_rows, most)
        if n < 50 or not cols:
            yield {"name": name, "error": "too few rows or columns to tell"}
            continue
        sides = [_some(side, n, seeds.child(name, i)) for i, side in enumerate((real, synthetic))]
        yield {
            "name": name,
            "rows": n,
            "folds": 5,
            **_auc(classifier, _design(sides[0], sides[1], cols), n, seeds.child(name, "folds")),
        }


def _auc(classifier: ClassifierMixin, design: np.ndarray, n: int, seeds: Seeds) -> dict[str, float]:
    """Out-of-fold AUC with Hanley and McNeil's interval.

    Equal rows stay in one fold: a classifier that has learned a row by heart gains nothing.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.repeat((0, 1), n)
    kinds, groups = np.unique(design, axis=0, return_inverse=True)
    if len(kinds) < n:  # few kinds of rows: nothing to learn by heart, and folds by kind would differ too much
        groups = np.arange(2 * n)
    folds = seeds.generator().permutation(np.arange(groups.max() + 1) % 5)[groups.ravel()]
    model = make_pipeline(StandardScaler(), classifier)
    scores = cross_val_predict(model, design, labels, cv=PredefinedSplit(folds), method="decision_function")
    auc = float(roc_auc_score(labels, scores))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    error = np.sqrt(max(0.0, auc * (1 - auc) + (n - 1) * (q1 + q2 - 2 * auc**2)) / n**2)
    return {"auc": auc, "low": max(0.0, auc - 1.96 * error), "high": min(1.0, auc + 1.96 * error)}


def _design(real: pa.Table, synthetic: pa.Table, cols: list[Column]) -> np.ndarray:
    """Numbers with a flag for gaps; the commonest levels as flags. Fitted on both sides: labels play no part in it."""
    parts = []
    for column in cols:
        both = pa.chunked_array([*real.column(column.name).chunks, *synthetic.column(column.name).chunks], column.type)
        if column.meaning in (Meaning.NUMBER, Meaning.DATETIME) and (
            _numeric(both.type) or pa.types.is_temporal(both.type)
        ):
            x = _floats(both)
            gaps = ~np.isfinite(x)
            middle = np.median(x[~gaps]) if not gaps.all() else 0.0
            parts += [np.where(gaps, middle, x)] + ([gaps.astype(float)] if gaps.any() else [])
        elif _hashable(both.type):
            texts = np.array(["\0" if v is None else str(v) for v in both.to_pylist()], dtype=object)
            names, counts = np.unique(texts, return_counts=True)
            parts += [(texts == name).astype(float) for name in names[np.argsort(-counts, kind="stable")][:12]]
    design = np.column_stack(parts) if parts else np.zeros((real.num_rows + synthetic.num_rows, 1))
    return np.clip(design, -1e150, 1e150)  # squares of what is larger would not be finite


def _plain(table: pa.Table) -> pa.Table:
    """Dictionary-encoded columns as their values; notes kept."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            kind = field.type.value_type
            table = table.set_column(place, field.with_type(kind), table.column(place).cast(kind))
    return table


def _some(table: pa.Table, n: int, seeds: Seeds) -> pa.Table:
    if table.num_rows <= n:
        return table
    return table.take(pa.array(np.sort(seeds.generator().choice(table.num_rows, n, replace=False))))


def _comparable(column: Column) -> bool:
    return column.meaning not in (Meaning.IDENTIFIER, Meaning.TEXT) and not column.surrogate


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _hashable(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind)


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    """As floats, gaps as NaN; dates as days."""
    if pa.types.is_temporal(values.type):
        stamps = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return np.asarray(stamps.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=float) / 86_400e6
    return np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=float)
