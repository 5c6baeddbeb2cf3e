"""The page's profile: protected training rows beside synthetic ones, or synthetic ones alone; classical tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from synth_pipeline.evaluation.report import charts, phrases
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.tables import Table, short

Profile = Mapping[str, Any]
_STATISTICS = ("mean", "std", "min", "q1", "median", "q3", "max", "skewness")


def side_by_side(real: Profile | None, synthetic: Profile | None, most: int) -> dict[str, Any] | None:
    """Internal flavour only: it shows what real rows hold."""
    named = [(name, found) for name, found in (("real", real), ("synthetic", synthetic)) if found]
    told = "“Real” is protected/train, the rows that the generator learned from. Internal: this describes real rows."
    return _sections(named, most, told) if named else None


def alone(synthetic: Profile | None, most: int) -> dict[str, Any] | None:
    """Publishable: what the synthetic rows hold, and nothing else."""
    return _sections([("synthetic", synthetic)], most, "What the synthetic rows hold.") if synthetic else None


def tests(comparison: Mapping[str, Any] | None, most: int) -> dict[str, Any] | None:
    """KS, chi-square, and detection by two plain classifiers, each with its caveat."""
    if not comparison:
        return None
    detection = []
    for found in comparison.get("detection") or ():
        title, means = phrases.TESTS.get(found["name"], (found["name"], ""))
        gauge = charts.gauge(
            found.get("auc"),
            found.get("low"),
            found.get("high"),
            reference=0.5,
            reference_name="expected",
            show=number,
            span=(0.4, 1.0),
        )
        detection.append({"error": "", "auc": None, **found, "title": title, "means": means, "gauge": gauge})
    tables = []
    for kind in ("ks", "chi_square"):
        rows = [row for row in comparison.get("columns") or () if row["test"] == kind]
        rows.sort(key=lambda row: -(row.get("effect") or 0))
        if rows:
            title, means = phrases.TESTS[kind]
            tables.append({"means": means, "table": _tested(title, kind, rows, most)})
    return {"detection": detection, "tables": tables} if detection or tables else None


def _tested(title: str, kind: str, rows: Sequence[Mapping[str, Any]], most: int) -> Table:
    more = f"{len(rows) - most:,} more columns, all with smaller effects." if len(rows) > most else ""
    if kind == "ks":
        head: tuple[str, ...] = ("Column", "Largest gap D", "p-value", "Rows of each")
        cells: list[tuple[str, ...]] = [
            (short(r["name"], 60), number(r["effect"]), _p(r["p"]), number(r["n"])) for r in rows[:most]
        ]
        return Table(title, head, ("", "n", "n", "n"), cells, more)
    head = ("Column", "Cramér's V", "χ²", "Degrees of freedom", "p-value", "Rows of each")
    cells = [
        (
            short(r["name"], 60),
            number(r["effect"]),
            number(r["statistic"]),
            number(r["dof"]),
            _p(r["p"]),
            number(r["n"]),
        )
        for r in rows[:most]
    ]
    return Table(title, head, ("", "n", "n", "n", "n", "n"), cells, more)


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _sections(named: list[tuple[str, Profile]], most: int, told: str) -> dict[str, Any]:
    tables = [_overview(named)]
    tables += filter(None, (_numbers(named, most), _dates(named, most), _gaps(named, most), _distinct(named, most)))
    alerts = _alerts(named)
    return {
        "told": told,
        "tables": [*tables, alerts] if alerts else tables,
        "correlations": _correlations(named),
        "frequencies": _frequencies(named, min(most, 60)),
    }


def _overview(named: list[tuple[str, Profile]]) -> Table:
    def share(part: float, whole: float) -> str:
        return f"{number(part)} ({percent(part / whole)})" if whole else number(part)

    lines: list[tuple[str, Callable[[Profile], str]]] = [
        ("Rows", lambda p: number(p["rows"])),
        ("Columns", lambda p: number(p["columns"])),
        ("Missing cells", lambda p: share(p["missing"], p["rows"] * p["columns"])),
        ("Duplicate rows", lambda p: share(p["duplicates"]["rows"], p["duplicates"]["of"])),
        ("Constant columns", lambda p: number(sum(f.get("constant", False) for f in p["fields"]))),
        ("High-cardinality columns", lambda p: number(sum(f.get("high_cardinality", False) for f in p["fields"]))),
        ("Rows behind the statistics", lambda p: number(p["looked_at"])),
    ]
    meanings = sorted({f["meaning"] for _, p in named for f in p["fields"]})
    rows = [(title, *(told(p) for _, p in named)) for title, told in lines]
    rows += [
        (f"Columns: {m}", *(number(sum(f["meaning"] == m for f in p["fields"])) for _, p in named)) for m in meanings
    ]
    return Table("Overview", ("", *(name for name, _ in named)), ("", *["n"] * len(named)), rows)


def _numbers(named: list[tuple[str, Profile]], most: int) -> Table | None:
    rows = []
    for name, fields in _paired(named, "number"):
        for side, field in fields:
            note = field["number"]
            statistics = [number(note.get(key)) for key in _STATISTICS]
            outliers = percent(note["outliers"] / max(1, note["n"]))
            rows.append((short(name, 50), side, *statistics, outliers))
    low, high = _ends(named)
    head = ("Column", "Rows", "Mean", "SD", low, "25 %", "Median", "75 %", high, "Skew", "Outliers")
    table = _cut("Statistics", head, ("", "", *["n"] * 9), rows, most * len(named))
    return table and Table(table.caption, table.head, table.kinds, table.rows, table.more or _OUTLIERS)


_OUTLIERS = "Outliers lie more than 1.5 interquartile ranges outside the middle half (Tukey)."


def _ends(named: list[tuple[str, Profile]]) -> tuple[str, str]:
    """What the outermost numbers are: only an internal profile tells extremes."""
    return ("Min", "Max") if all(p.get("ends") == "extremes" for _, p in named) else ("1 %", "99 %")


def _dates(named: list[tuple[str, Profile]], most: int) -> Table | None:
    low, high = _ends(named)
    rows = [
        (short(name, 50), side, *(field["date"].get(key) or "–" for key in ("min", "median", "max")))
        for name, fields in _paired(named, "date")
        for side, field in fields
    ]
    return _cut("Dates", ("Column", "Rows", low, "Median", high), ("", "", "n", "n", "n"), rows, most)


def _gaps(named: list[tuple[str, Profile]], most: int) -> Table | None:
    rows = []
    for name, fields in _paired(named):
        if any(field["missing"] for _, field in fields):
            by_side = {side: percent(field["missing"] / max(1, field["rows"])) for side, field in fields}
            rows.append((short(name, 60), *(by_side.get(side, "–") for side, _ in named)))
    return _cut("Missing values", ("Column", *(n for n, _ in named)), ("", *["n"] * len(named)), rows, most)


def _distinct(named: list[tuple[str, Profile]], most: int) -> Table | None:
    rows = []
    for name, fields in _paired(named):
        by_side = {side: number(field["distinct"]) for side, field in fields}
        any_field = fields[0][1]
        marks = [
            word
            for key, word in (("constant", "constant"), ("high_cardinality", "high cardinality"))
            if any_field.get(key)
        ]
        rows.append(
            (short(name, 60), any_field["meaning"], *(by_side.get(side, "–") for side, _ in named), ", ".join(marks))
        )
    head = ("Column", "Meaning", *(f"distinct, {name}" for name, _ in named), "")
    return _cut("Distinct values", head, ("", "", *["n"] * len(named), ""), rows, most)


def _alerts(named: list[tuple[str, Profile]]) -> Table | None:
    rows = sorted((short(a["column"], 60), side, a["what"]) for side, p in named for a in p.get("alerts") or ())
    return _cut("Worth a look", ("Column", "Rows", "What"), ("", "", "t"), rows, 60)


def _correlations(named: list[tuple[str, Profile]]) -> list[tuple[str, Any]]:
    found = []
    for side, profile in named:
        note = profile.get("correlations") or {}
        if len(note.get("columns") or ()) > 1:
            found.append((side, charts.matrix([short(n) for n in note["columns"]], note["values"], scale="signed")))
    return found


def _frequencies(named: list[tuple[str, Profile]], most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, fields in _paired(named, "levels"):
        if len(found) == most:
            break
        counts = {side: {str(level): count for level, count in field["levels"]} for side, field in fields}
        named_levels = list(dict.fromkeys(level for side in counts.values() for level in side))
        if not named_levels:
            continue
        others = {side: field.get("others", 0) for side, field in fields}
        tail = ["…"] if any(others.values()) else []
        columns = [
            [counts[side].get(level, 0) for level in named_levels] + ([others[side]] if tail else [])
            if side in counts
            else []
            for side in ("real", "synthetic")
        ]
        chart = charts.levels([*named_levels, *tail], *columns, name=short(name), most=10)
        note = " · ".join(f"{side}: {number(field['distinct'])} levels" for side, field in fields)
        found.append({"name": name, "kind": fields[0][1]["meaning"], "chart": chart, "note": note})
    return found


def _paired(
    named: list[tuple[str, Profile]], part: str | None = None
) -> Iterable[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    """Each column once, with its field on every side that has one."""
    sides = [(side, {f["name"]: f for f in profile["fields"]}) for side, profile in named]
    for name in dict.fromkeys(name for _, fields in sides for name in fields):
        held = [
            (side, fields[name]) for side, fields in sides if name in fields and (part is None or part in fields[name])
        ]
        if held:
            yield name, held


def _cut(caption: str, head: Sequence[str], kinds: Sequence[str], rows: list[Any], most: int) -> Table | None:
    if not rows:
        return None
    more = f"{len(rows) - most:,} more rows are in the profile." if len(rows) > most else ""
    return Table(caption, head, kinds, rows[:most], more)
