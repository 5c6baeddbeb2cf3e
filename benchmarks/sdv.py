"""SDV beside trees on half of Adult: seconds to fit and to draw as many rows, and every measure of the scorecard.

GaussianCopula runs each time; `--all` also trains CTGAN, TVAE and CopulaGAN (a quarter of an hour). Their recorded
seconds are scaled by how much slower or faster GaussianCopula is now than when they were recorded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.generate import DATA, adult
from synth_pipeline.protocols import registry
from synth_pipeline.protocols.generator import SampleRequest
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.seeds import Seeds
from synth_pipeline.stages.train import learned_records

RECORDED = {"gaussian_copula": 5.0, "tvae": 186.0, "ctgan": 683.0, "MOSTLY AI": 155.0}
"""Seconds to fit and sample on two cores."""

ERRORS = ("shape_error", "trend_error", "c2st_auc", "missing_error")
FASTER = 200


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--all", action="store_true", help="train the networks too")
    asked = options.parse_args()
    if not DATA.is_dir():
        print("the Adult data set is not here")
        return 0
    with tempfile.TemporaryDirectory() as place:
        records = Records.open(adult(Home(Path(place) / "home")).folder)
        kinds = ["trees", "gaussian_copula", *(("tvae", "ctgan", "copulagan") if asked.all else ())]
        seconds: dict[str, float] = {}
        computed: dict[str, float] = {}
        found: dict[str, Findings] = {}
        for kind in kinds:
            seconds[kind], computed[kind], rows = once(kind, records)
            found[kind] = judge(records, rows)
    names = sorted({name for findings in found.values() for name in findings.scores})
    print(f"{'':24}" + "".join(f"{kind:>18}" for kind in kinds))
    print(f"{'seconds':24}" + "".join(f"{seconds[kind]:18.2f}" for kind in kinds))
    print(f"{'seconds of all cores':24}" + "".join(f"{computed[kind]:18.2f}" for kind in kinds))
    for name in names:
        print(f"{name:24}" + "".join(f"{shown(found[kind], name):>18}" for kind in kinds))
    now = seconds["gaussian_copula"] / RECORDED["gaussian_copula"]
    for kind, then in RECORDED.items():
        took = seconds.get(kind, then * now)
        how = "now" if kind in seconds else f"recorded {then:.0f} s, scaled by {now:.2f}"
        print(f"trees is {took / seconds['trees']:7.1f} times faster than {kind} ({how})")
    worse = [
        (kind, name)
        for kind in kinds[1:]
        for name in ERRORS
        if value(found["trees"], name) > value(found[kind], name) + 1e-3
    ]
    for kind, name in worse:
        print(f"{kind} is better at {name}")
    ctgan = seconds.get("ctgan", RECORDED["ctgan"] * now)
    return 1 if worse or ctgan < FASTER * seconds["trees"] else 0


def once(kind: str, records: Records) -> tuple[float, float, pa.Table]:
    """Fits and draws as many rows; imports count, as they do for a user. Seconds passed, seconds computed, the rows."""
    config = registry.find("generators", kind)(type=kind)
    begun, worked = time.perf_counter(), time.process_time()
    generator = registry.load(config.implementation)(config)
    generator.fit(learned_records(records), Seeds(1, ("train",)), lambda _step, _values: None)
    request = SampleRequest(records.rows("train"))
    rows = pa.Table.from_batches(batch for _, batch in generator.sample(request, Seeds(1, ("generate",))))
    return time.perf_counter() - begun, time.process_time() - worked, rows


def judge(records: Records, rows: pa.Table) -> Findings:
    evidence = Evidence(
        train=records.table("train"),
        holdout=records.table("holdout"),
        synthetic=rows,
        released=rows,
        seeds=Seeds(2),
        target=rows.column_names[-1],
    )
    findings: Findings = registry.find("modalities", "tabular")().measure(evidence)
    return findings


def value(findings: Findings, name: str) -> float:
    score: Any = findings.scores.get(name)
    return float("nan") if score is None or score.value is None else score.value


def shown(findings: Findings, name: str) -> str:
    score = findings.scores.get(name)
    if score is None or score.value is None:
        return (score.error if score else "") or "-"
    return f"{score.value:.4f}" + (f" ({score.reference:.3f})" if score.reference is not None else "")


if __name__ == "__main__":
    sys.exit(main())
