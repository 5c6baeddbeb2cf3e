"""Membership inference: can anyone who holds a record and the synthetic rows tell whether it was learned from.

Members are persons of train, non-members persons of the holdout. The attacker also has a sample of the population that
holds neither: one half of the holdout, while the persons of the other half are the non-members; then the halves change
places, so that every person of the holdout is a non-member once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synth_pipeline.evaluation.attacks.roc import Fold, area, hits, roc
from synth_pipeline.evaluation.columns import Unfit, subset, texts
from synth_pipeline.evaluation.intervals import LEVEL, worst, z
from synth_pipeline.evaluation.neighbours import knn
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.evaluation.units import one_each, units_of
from synth_pipeline.protocols.measure import Evidence, Features, Findings, Score
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
Bounds = tuple[float, float, float]
FPR = 0.01
MEASURABLE = 1_520
"""Non-members below which a rate at 1 % false alarms is not told: its threshold would be off by half of it."""
_TARGETS = 5_000
_SEARCHED = 50_000
_PUBLISHED = 100_000
_LEARNED = 20_000
_NEIGHBOURS = 5
_FEWEST = 10
_GROUP = 30
_GROUPS = 12
_CURVE = 40


def membership(evidence: Evidence) -> Findings:
    """`mia_auc`: the strongest attacker's area under the ROC curve; `mia_tpr`: the largest part of the members that an
    attacker names while he names no more than 1 % of the non-members (Carlini et al. 2022).

    Attackers score a record x by: `distance` -d(x, S); `calibrated` d(x, R) - d(x, S) (GAN-leaks, Chen et al. 2020);
    `density` the log ratio of k-nearest-neighbour densities of S and R (DOMIAS, van Breugel et al. 2023);
    `classifier` boosted trees that tell S from R (LOGAN, Hayes et al. 2019). S: the synthetic rows; R: his sample.
    """
    rng = evidence.seeds.child("membership").generator()
    most = max(evidence.train.num_rows, evidence.holdout.num_rows) if evidence.full else _TARGETS
    members, others = one_each(evidence, most, rng)
    side = _halves(units_of(evidence)[1], rng)
    sizes = [int((side[others] == half).sum()) for half in (0, 1)]
    if min(len(members), *sizes) < _FEWEST // 2 or not evidence.synthetic.num_rows:
        raise Unfit("too few rows for an attack on membership")
    tables, told = _published(evidence, rng)
    features = features_of(evidence)
    known = [np.flatnonzero(side == 1 - half) for half in (0, 1)]  # what the attacker knows in each half's turn
    known = [np.sort(rng.choice(rows, _SEARCHED, replace=False)) if len(rows) > _SEARCHED else rows for rows in known]
    halves = [others[side[others] == half] for half in (0, 1)]
    attacks, unusual, links = _scored(evidence, features, tables, members, halves, known)

    m, n = len(members), sum(sizes)
    names = list(attacks)
    place, value, low, high = worst([area(attacks[name], links=links).bounds for name in names])
    deviation = math.sqrt((1 / m + 1 / n) / 12)
    strongest = names[place]
    note = (
        f"strongest attacker: {strongest}; {m} members against {n} non-members, who stand in for each other's "
        f"reference sample by halves{told}"
    )
    margin = (z(1 - (1 - LEVEL) / len(names)) + _power()) * deviation
    scores = {
        "mia_auc": Score(value, low, high, 0.5, min(m, n), note, detects=min(0.5 + margin, 1.0)),
        "mia_tpr": _tail(attacks, m, n, told),
    }
    details = {
        "attacks": [_told(name, folds, links, n) for name, folds in attacks.items()],
        "fpr": FPR,
        "n": m,
        "n_control": n,
        "roc": {"name": strongest, **_curve(attacks[strongest], n)},
        "groups": _groups(evidence, attacks, links, members, halves),
        "deciles": _deciles(attacks, links, unusual),
    }
    return Findings(scores, {"membership": details})


def _halves(units: Array, rng: np.random.Generator) -> Array:
    """0 or 1 for each row of the holdout, the same for all rows of a person."""
    persons, place = np.unique(units, return_inverse=True)
    half = np.arange(len(persons)) % 2
    return rng.permutation(half)[place]


def _published(evidence: Evidence, rng: np.random.Generator) -> tuple[list[Any], str]:
    """The synthetic rows that the attacker sees, with those of earlier releases, and what the note says of them."""
    synthetic, earlier = evidence.synthetic, evidence.earlier
    if earlier is None or not earlier.num_rows:
        return [subset(synthetic, _SEARCHED, rng)], ""
    if not set(synthetic.column_names) <= set(earlier.column_names):
        return [subset(synthetic, _SEARCHED, rng)], "; earlier releases have other columns and were left out"
    part = min(1.0, _PUBLISHED / (synthetic.num_rows + earlier.num_rows))
    tables = [subset(side, max(1, int(part * side.num_rows)), rng) for side in (synthetic, earlier)]
    return tables, f"; with {earlier.num_rows} rows of earlier releases, for what is published adds up"


def _scored(
    evidence: Evidence,
    features: Features,
    tables: Sequence[Any],
    members: Array,
    halves: list[Array],
    known: list[Array],
) -> tuple[dict[str, list[Fold]], list[Fold], Array]:
    """Every attacker's scores in both halves' turns, and how unusual each record is: its distance to its k-th nearest
    row of the attacker's sample, which has neither members nor the record's own person; and which pairs of non-members
    (of the first half, of the second) are neighbours, and so have scores that hang together."""
    chosen = np.unique(np.concatenate([*halves, *known]))
    sides = [
        evidence.train.take(members),
        evidence.holdout.take(chosen),
        *tables,
    ]  # scales are costly: fitted once each
    trained, held, *published = map(features.points, sides)
    made = _joined(published)
    others, references = ([held.take(np.searchsorted(chosen, rows)) for rows in of] for of in (halves, known))
    k = min(_NEIGHBOURS, len(made), *map(len, references))
    ends = np.cumsum([len(members), *map(len, halves)])[:-1]
    from_members, *from_halves = np.split(_near(_joined([trained, *others]), made, k)[0], ends)
    values, levels = zip(*map(features.matrix, sides), strict=True)
    of_halves, of_known = ([values[1][np.searchsorted(chosen, rows)] for rows in of] for of in (halves, known))
    told = _classified([values[0], *of_halves], [np.concatenate(values[2:]), *of_known], levels[0], evidence)

    attacks: dict[str, list[Fold]] = {name: [] for name in ("distance", "calibrated", "density", "classifier")}
    unusual, links = [], []
    for turn in (0, 1):
        to_sample, met = _near(_joined([trained, others[turn]]), references[turn], k)
        links.append(_links(met[len(members) :], known[turn], halves[1 - turn], turn))
        near = np.concatenate([from_members, from_halves[turn]])
        speck = references[turn].rounding or 1e-9
        ratio = np.log(to_sample + speck) - np.log(near + speck)  # the dimension only scales it: the order is the same
        for name, scores in (
            ("distance", -near[:, 0]),
            ("calibrated", to_sample[:, 0] - near[:, 0]),
            ("density", ratio.mean(1)),
            ("classifier", told[turn]),
        ):
            attacks[name].append(Fold(scores[: len(members)], scores[len(members) :]))
        unusual.append(Fold(to_sample[: len(members), -1], to_sample[len(members) :, -1]))
    return attacks, unusual, np.unique(np.concatenate(links), axis=0)


def _near(queries: Points | Vectors, side: Points | Vectors, k: int) -> tuple[Array, Array]:
    distances, rows = knn(queries, side, k)
    if not np.isfinite(distances).all():
        raise Unfit("distances that are no numbers")
    return distances.astype(np.float64), rows


def _links(met: Array, known: Array, others: Array, turn: int) -> Array:
    """Pairs (non-member of the first half, of the second) of which one is among the nearest of the other."""
    rows = known[met]
    place = np.minimum(np.searchsorted(others, rows), len(others) - 1)
    asked, _ = np.nonzero(others[place] == rows)
    pairs = np.stack([asked, place[others[place] == rows]], axis=1)
    return pairs if turn == 0 else pairs[:, ::-1]


def _joined(parts: Sequence[Points | Vectors]) -> Points | Vectors:
    if isinstance(parts[0], Vectors):
        return Vectors(np.concatenate([part.values for part in parts if isinstance(part, Vectors)]))
    mixed = [part for part in parts if isinstance(part, Points)]
    return Points(np.concatenate([p.axes for p in mixed], axis=1), np.concatenate([p.levels for p in mixed], axis=1))


def _classified(asked: list[Array], labelled: list[Array], levels: list[bool], evidence: Evidence) -> list[Array]:
    """In each turn, how synthetic trees find the members and that turn's non-members."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    seeds = evidence.seeds.child("membership", "classifier")

    def work(turn: int) -> Array:
        rng = seeds.child(turn).generator()
        sides = [labelled[0], labelled[1 + turn]]
        sides = [
            s[np.sort(rng.choice(len(s), _LEARNED // 2, replace=False))] if len(s) > _LEARNED // 2 else s for s in sides
        ]
        model = HistGradientBoostingClassifier(
            max_iter=100,
            early_stopping=False,
            categorical_features=levels or None,
            class_weight="balanced",
            random_state=seeds.integer(),
        )
        rows = np.concatenate(sides)
        rows[:, np.isnan(rows).all(0)] = 0.0  # trees find no cut where nothing is known
        model.fit(rows, np.repeat([1, 0], list(map(len, sides))))
        return np.asarray(model.decision_function(np.concatenate([asked[0], asked[1 + turn]])))

    return spread(work, (0, 1))


def _tail(attacks: Mapping[str, list[Fold]], m: int, n: int, told: str) -> Score:
    if n < MEASURABLE:
        note = f"not measurable: {n} non-members, at least {MEASURABLE} are needed for a rate at 1 % false alarms"
        return Score(None, reference=FPR, n=min(m, n), note=note)
    names = list(attacks)
    place, value, low, high = worst([hits(attacks[name], FPR) for name in names])
    note = f"strongest attacker: {names[place]}; {m} members against {n} non-members{told}"
    return Score(value, low, high, FPR, min(m, n), note, detects=_least(m, n, z(1 - (1 - LEVEL) / len(names))))


def _least(m: int, n: int, quantile: float) -> float:
    """The rate whose interval leaves 1 % out in four cases of five: the null's error for the interval, its own for
    the power."""
    rate = FPR
    for _ in range(50):
        errors = (math.sqrt(p * (1 - p) / m + FPR * (1 - FPR) / n) for p in (FPR, rate))
        rate = min(FPR + quantile * next(errors) + _power() * next(errors), 1.0)
    return rate


def _power() -> float:
    return z(0.6)  # the 80 % quantile


def _told(name: str, folds: list[Fold], links: Array, n: int) -> dict[str, Any]:
    value, low, high = area(folds, links=links).bounds(LEVEL)
    tail = hits(folds, FPR)(LEVEL) if n >= MEASURABLE else (None, None, None)
    return {
        "name": name,
        "auc": value,
        "low": low,
        "high": high,
        "tpr": tail[0],
        "tpr_low": tail[1],
        "tpr_high": tail[2],
    }


def _curve(folds: list[Fold], n: int) -> dict[str, list[float]]:
    """From where at least ten non-members are behind a point."""
    at = np.geomspace(min(max(1e-3, 10 / n), 1.0), 1, _CURVE)
    return {"fpr": [round(float(x), 5) for x in at], "tpr": [round(float(y), 5) for y in roc(folds, at)]}


def _groups(
    evidence: Evidence, attacks: Mapping[str, list[Fold]], links: Array, members: Array, halves: list[Array]
) -> list[dict[str, Any]]:
    """Of each large enough level of the sensitive columns, the largest ones first."""
    found = []
    for name in evidence.sensitive:
        if not all(name in side.column_names for side in (evidence.train, evidence.holdout)):
            continue
        sides = [texts(evidence.train, name).take(members)]
        sides += [texts(evidence.holdout, name).take(rows) for rows in halves]
        values = [side.fill_null("missing").to_numpy(zero_copy_only=False) for side in sides]
        levels, counts = np.unique(np.concatenate(values), return_counts=True)
        for level in levels[counts >= 2 * _GROUP]:
            inside = [Fold(values[0] == level, side == level) for side in values[1:]]
            part = _part(f"{name} = {level}", attacks, links, inside)
            if part:
                found.append(part)
    return sorted(found, key=lambda part: (-part["n"], part["name"]))[:_GROUPS]


def _deciles(attacks: Mapping[str, list[Fold]], links: Array, unusual: list[Fold]) -> list[dict[str, Any]]:
    edges = [np.quantile(np.concatenate([f.members, f.others]), np.arange(1, 10) / 10) for f in unusual]
    places = [
        Fold(np.searchsorted(edge, fold.members, "left"), np.searchsorted(edge, fold.others, "left"))
        for edge, fold in zip(edges, unusual, strict=True)
    ]
    inside = ([Fold(fold.members == place, fold.others == place) for fold in places] for place in range(10))
    found = (_part(str(place), attacks, links, masks) for place, masks in enumerate(inside, 1))
    return [part for part in found if part]


def _part(name: str, attacks: Mapping[str, list[Fold]], links: Array, inside: list[Fold]) -> dict[str, Any] | None:
    """The attacks' `mia_auc` among some records alone; None where they are few."""
    n = len(np.flatnonzero(np.any([fold.members for fold in inside], axis=0)))
    controls = [int(fold.others.sum()) for fold in inside]
    if min(n, sum(controls)) < _GROUP or min(controls) < 2 or any(fold.members.sum() < 2 for fold in inside):
        return None
    parts = [area(folds, inside, links).bounds for folds in attacks.values()]
    _, value, low, high = worst(parts)
    return {"name": name, "auc": value, "low": low, "high": high, "n": n, "n_control": sum(controls)}
