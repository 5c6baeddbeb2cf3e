"""How long the default scorecard of Adult takes, and what it says of the public ladder of leaks.

python -m benchmarks.scorecard [--data DIR] [--sets adult bank-marketing] [--quick]
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path

import pyarrow as pa

from synth_pipeline.evaluation.gates import judge, load_policy, verdict
from synth_pipeline.modalities.tabular.modality import Tabular
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.records.sources import read_tables
from synth_pipeline.seeds import Seeds

SHARED = Path(os.environ.get("SYNTH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
VERSIONS = (
    "flip10", "flip20", "flip30", "synthpop", "flip50", "flip70", "flip90", "mostly", "ctgan", "gretel", "tvae",
    "gaussian_copula", "copulagan",
)  # fmt: skip
TARGETS = {"adult": "income", "bank-marketing": "y"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "audit_ladder")
    options.add_argument("--sets", nargs="+", default=list(TARGETS))
    options.add_argument("--versions", nargs="+", default=list(VERSIONS))
    options.add_argument("--quick", action="store_true", help="5,000 queries instead of 20,000")
    asked = options.parse_args()
    published = _published(asked.data / "published_qa.csv")
    for name in asked.sets:
        print(f"\n{name}")
        print("| version | published | share | copy excess | exact | replay | C2ST | published | TSTR | verdict | s |")
        print("| --- " * 11 + "|")
        for version in asked.versions:
            # each is typed with the real rows alone: one version's odd text shall not retype the others
            files = [asked.data / f"{name}_{part}.csv.gz" for part in ("trn", "val", version)]
            train, holdout, table = read_tables(files)
            begun = time.perf_counter()
            findings = _score(train, holdout, table, TARGETS[name], 5_000 if asked.quick else 20_000)
            seconds = time.perf_counter() - begun
            _row(version, findings, published.get((name, version), {}), seconds)


def _score(train: pa.Table, holdout: pa.Table, made: pa.Table, target: str, queries: int) -> Findings:
    evidence = Evidence(train, holdout, made, made, Seeds(0, ("benchmark",)), target=target, queries=queries)
    return Tabular().measure(evidence)


def _row(version: str, findings: Findings, published: dict[str, str], seconds: float) -> None:
    scores = findings.scores
    gates = judge(scores, load_policy("internal"))
    blocked = [f"{gate.name} {gate.verdict}" for gate in gates if gate.verdict != "pass"]
    excess = scores["copy_excess"]
    cells = [
        version,
        _short(published.get("distances_dcr_share")),
        _short(scores["nearest_share"].value),
        f"{_short(excess.value)} [{_short(excess.low)}, {_short(excess.high)}]",
        *(_short(scores[name].value) for name in ("exact_match_excess", "value_replay_excess", "c2st_auc")),
        _short(published.get("similarity_discriminator_auc_training_synthetic")),
        _short(scores["tstr_ratio"].value),
        f"{verdict(gates)}" + (f": {', '.join(blocked)}" if blocked else ""),
        f"{seconds:.1f}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def _published(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["dataset"], row["synthesizer"]): row for row in csv.DictReader(file)}


def _short(value: float | str | None) -> str:
    return "" if value in (None, "") else f"{float(value):.3f}"


if __name__ == "__main__":
    main()
