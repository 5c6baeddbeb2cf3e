"""The gate put to the test: honest rows pass, planted copies are noticed when told, splits agree, adversaries stop.

python -m benchmarks.proofs [--seeds 200] [--rows 2000] [--only nulls|planted|splits|copies] [--data DIR]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.adversaries import ADVERSARIES, made, planted
from benchmarks.ladder import LADDER, SENSITIVE, TARGETS
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.gates import judge, load_policy, verdict
from synth_pipeline.evaluation.intervals import clopper_pearson
from synth_pipeline.evaluation.measuring import measure_all
from synth_pipeline.evaluation.scorecard import Gate
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.modalities.tabular.measures import MEASURES
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.records.sources import read_tables
from synth_pipeline.seeds import Seeds

POLICIES = ("internal", "public")
COPYING = ("copy_excess", "exact_match_excess", "near_match_excess", "value_replay_excess")
TIMES = (0.5, 1.0, 2.0)
SPLITS = {"50/50": 1.0, "2:1": 0.5, "80/20": 0.25}
"""How many holdout rows there are to each training row."""
ERRS = 0.05


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=LADDER)
    options.add_argument("--seeds", type=int, default=200)
    options.add_argument("--rows", type=int, default=2_000, help="rows a side in nulls and planted")
    options.add_argument("--only", choices=["nulls", "planted", "splits", "copies"])
    asked = options.parse_args()
    if not asked.data.is_dir():
        print("the public ladder is not here")
        return 0
    train, holdout = read_tables([asked.data / f"adult_{part}.csv.gz" for part in ("trn", "val")])
    real = pa.concat_tables([train, holdout])
    kept: list[bool] = []
    parts = {
        "nulls": lambda: nulls(real, asked.rows, asked.seeds, kept),
        "planted": lambda: plants(real, asked.rows, asked.seeds),
        "splits": lambda: splits(asked.data, real, kept),
        "copies": lambda: copies(real, kept),
    }
    for name, part in parts.items():
        if asked.only in (None, name):
            begun = time.monotonic()
            for line in part():
                print(line, flush=True)
            print(f"{time.monotonic() - begun:.0f} s\n", flush=True)
    return 0 if all(kept) else 1


def nulls(real: pa.Table, rows: int, seeds: int, kept: list[bool]) -> Iterator[str]:
    """Fresh real rows in the synthetic rows' place: how often each gate finds fault, and how often it lets them by."""
    policies = [load_policy(name) for name in POLICIES]
    names = {name for policy in policies for name in policy.gates}
    outcomes: dict[tuple[str, str], Counter[str]] = {}
    left = Counter[str]()
    for seed in range(seeds):
        scores = measured(fresh(real, rows, rows, rows, seed), names)
        left.update(name for name, score in scores.items() if leaves(score))
        for policy in policies:
            gates = judge(scores, policy)
            for name, outcome in [*((g.name, g.verdict) for g in gates), ("verdict", verdict(gates))]:
                outcomes.setdefault((policy.name, name), Counter())[outcome] += 1
    yield f"## Nulls: {seeds} seeds, {rows:,} training, {rows:,} held-out and {rows:,} synthetic rows, all real"
    yield from (
        "",
        "| policy | gate | fail | at least, of all (95 %) | ≤ 5 % | pass | inconclusive | above its reference |",
    )
    yield "|" + " --- |" * 8
    for (policy, name), counted in outcomes.items():
        low = clopper_pearson(counted["fail"], seeds)[0]
        kept.append(low <= ERRS)
        beyond = f"{left[name]}" if name in names else ""
        yield (
            f"| {policy} | {name} | {counted['fail']} | {low:.3f} | {_yes(low <= ERRS)} | {counted['pass']} "
            f"| {counted['inconclusive']} | {beyond} |"
        )


def plants(real: pa.Table, rows: int, seeds: int) -> Iterator[str]:
    """As many verbatim copies as a measure says that it would notice 80 % of the time: how often it does."""
    noticed: dict[str, Counter[float]] = {}
    said: dict[str, list[float]] = {}
    for seed in range(seeds):
        evidence = fresh(real, rows, rows, rows, seed)
        clean = measured(evidence, COPYING)
        for name in COPYING:
            detects = clean[name].detects if name in clean else None
            if detects is None:
                continue
            said.setdefault(name, []).append(detects)
            for times in TIMES:
                rng = evidence.seeds.child("plant", str(times)).generator()
                scores = measured(planted(evidence, min(times * detects, 1.0), rng), [name])
                noticed.setdefault(name, Counter())[times] += leaves(scores[name])
    yield f"## Planted copies: {seeds} seeds, {rows:,} rows a side; how often the interval leaves the reference"
    yield from ("", f"| measure | detects (mean) | {' | '.join(f'{times:g}×' for times in TIMES)} |")
    yield "|" + " --- |" * (2 + len(TIMES))
    for name, counted in noticed.items():
        rates = (f"{counted[times] / seeds:.0%} {_between(counted[times], seeds)}" for times in TIMES)
        yield f"| {name} | {np.mean(said[name]):.4f} | {' | '.join(rates)} |"


def splits(data: Path, real: pa.Table, kept: list[bool]) -> Iterator[str]:
    """The same verdict however the real rows were split."""
    policy = load_policy("internal")
    rng = Seeds(0, ("splits",)).generator()
    yield from ("## Splits of Adult under the policy `internal`", "", f"| version | {' | '.join(SPLITS)} | the same |")
    yield "|" + " --- |" * (2 + len(SPLITS))
    for version in ("mostly", "flip30", "fresh rows"):
        verdicts, told = [], []
        for part in SPLITS.values():
            if version == "fresh rows":
                third = real.num_rows // 3
                train = round(2 * third / (1 + part))
                evidence = fresh(real, train, 2 * third - train, third, 0)
            else:
                train, holdout, rows = read_tables([data / f"adult_{name}.csv.gz" for name in ("trn", "val", version)])
                held = holdout.take(np.sort(rng.permutation(holdout.num_rows)[: round(part * holdout.num_rows)]))
                evidence = _evidence(train, held, rows, 0)
            gates = judge(measured(evidence, policy.gates), policy)
            verdicts.append(verdict(gates))
            told.append(_told(gates))
        same = len(set(verdicts)) == 1 and (verdicts[0] == "fail") == (version == "flip30")
        kept.append(same)
        yield f"| {version} | {' | '.join(told)} | {_yes(same)} |"


def copies(real: pa.Table, kept: list[bool]) -> Iterator[str]:
    """Every adversary is blocked; fresh rows in its place are not."""
    policy = load_policy("internal")
    third = real.num_rows // 3
    honest = fresh(real, third, third, third, 0)
    yield f"## Adversaries: {third:,} rows a side of Adult under the policy `internal`"
    yield from ("", "| synthetic rows | verdict and gates | as it must be |", "|" + " --- |" * 3)
    for name, adversary in {"fresh rows": None, **ADVERSARIES}.items():
        evidence = adversary(honest, Seeds(0, (name,)).generator()) if adversary else honest
        gates = judge(measured(evidence, policy.gates), policy)
        right = (verdict(gates) == "pass") == (adversary is None)
        kept.append(right)
        yield f"| {name} | {_told(gates)} | {_yes(right)} |"


def fresh(real: pa.Table, train: int, holdout: int, synthetic: int, seed: int) -> Evidence:
    """Disjoint random parts of one real table: nobody was copied, and all follow one distribution."""
    order = np.random.default_rng(seed).permutation(real.num_rows)[: train + holdout + synthetic]
    parts = (real.take(np.sort(rows)) for rows in np.split(order, [train, train + holdout]))
    return _evidence(*parts, seed)


def measured(evidence: Evidence, names: Collection[str]) -> Mapping[str, Score]:
    """The scores of these names, by the measures that give them and no others."""
    with suppress(Unfit):  # where there is nothing to compare, each measure says so
        evidence = replace(evidence, features=features_of(evidence))
    return measure_all([measure for measure in MEASURES if set(measure.names) & set(names)], evidence).scores


def leaves(score: Score) -> bool:
    """Whether the interval lies above the reference (or above none)."""
    return score.value is not None and (score.value if score.low is None else score.low) > (score.reference or 0.0)


def _evidence(train: pa.Table, holdout: pa.Table, rows: pa.Table, seed: int) -> Evidence:
    evidence = Evidence(train, holdout, rows, rows, Seeds(seed, ("proof",)))
    return replace(made(evidence, rows), target=TARGETS["adult"], sensitive=SENSITIVE["adult"])


def _told(gates: Iterable[Gate]) -> str:
    gates = list(gates)
    blocked = [f"{g.name} {g.verdict} {g.value:.3f}" if g.value is not None else g.name for g in gates]
    return (
        verdict(gates)
        + ": " * any(g.verdict != "pass" for g in gates)
        + ", ".join(told for told, gate in zip(blocked, gates, strict=True) if gate.verdict != "pass")
    )


def _between(hits: int, n: int) -> str:
    low, high = clopper_pearson(hits, n)
    return f"[{low:.0%}, {high:.0%}]"


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"


if __name__ == "__main__":
    sys.exit(main())
