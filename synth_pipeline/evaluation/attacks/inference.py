"""Attribute inference (Giomi et al. 2023, section 4.3): what the release tells of the one field that is not known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation import intervals
from synth_pipeline.evaluation.attacks.entropy import entropies
from synth_pipeline.evaluation.attacks.guessing import by_trees, nearest_without
from synth_pipeline.evaluation.attacks.outcome import Outcome, found, impossible, rates
from synth_pipeline.evaluation.columns import (
    Unfit,
    compared,
    is_number,
    magnitude,
    matrix,
    numbers,
    points,
    subset,
    texts,
)
from synth_pipeline.evaluation.keys import value_keys
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.evaluation.units import one_each
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.records.schema import Column, Meaning

Array = np.ndarray
_SECRETS = 20
_KNOWN = 40
"""Columns that the trees look at; the nearest row is found by all."""
_TARGETS = 20_000
_NEAREST = 20_000
_SYNTHETIC = 50_000
_CLOSE = 0.05
_LEVELS = 6
_PARTS = 20
_NOTICED = 0.1
"""A secret is judged when a risk as small would be noticed. Others (mostly guessed right without any release) are told;
they count where they leak beyond doubt, or where nothing else can be judged."""
_KNOWS = "every field of a person but one, and the released rows"


def attribute_inference(evidence: Evidence) -> Findings:
    """`attribute_inference`: each column in turn is the secret, all others are known, and it is guessed from the
    nearest synthetic row and by boosted trees fitted on the synthetic rows; the worst secret and attacker.
    `attribute_inference_overall`: all secrets together, by the better attacker.

    A guess is right when it is the level, or within 5 % of the true number (of the interquartile range where the truth
    is zero, and for dates, which have no zero). Whose secret is missing is no target.
    """
    cols = compared(evidence.train, evidence.holdout, evidence.synthetic)
    if not cols:
        raise Unfit("no column to compare")
    sides = evidence.train, evidence.holdout
    if not (all(side.num_rows for side in sides) and evidence.synthetic.num_rows):
        raise Unfit("no rows to compare")
    if len(cols) == 1:
        note = "there is one column: nothing else is known of a person from which it could be inferred"
        return impossible(["attribute_inference", "attribute_inference_overall"], evidence, _KNOWS, note)
    seeds = evidence.seeds.child("attribute_inference")
    rng = seeds.generator()
    synthetic = subset(evidence.synthetic, _SYNTHETIC, rng)
    # in random order, so that the first of ties is any of them
    synthetic = synthetic.take(pa.array(rng.permutation(synthetic.num_rows)))
    real = [side.take(pa.array(rows)) for side, rows in zip(sides, one_each(evidence, _TARGETS, rng), strict=True)]
    few = [np.sort(rng.permutation(side.num_rows)[:_NEAREST]) for side in real]
    ranked = _ranked(cols, synthetic, evidence)
    secrets = [_Secret.of(column, list(sides), [synthetic, *real]) for column in ranked[:_SECRETS]]

    asked = [side.take(pa.array(rows)) for side, rows in zip(real, few, strict=True)]
    nearest = _by_nearest(secrets, cols, synthetic, asked, sides)
    tried = [
        _Tried(secret, "nearest row", *(secret.right(i + 1, guess[i], few[i]) for i in (0, 1)))
        for secret, guess in zip(secrets, nearest, strict=True)
    ]
    known, levels = matrix([synthetic, *real], sides, ranked[:_KNOWN])
    everybody = [np.arange(side.num_rows) for side in real]

    def boosted(i: int) -> _Tried:
        rest = [j for j in range(len(levels)) if j != i]
        secret = secrets[i]
        guess = by_trees(
            [rows[:, rest] for rows in known],
            [levels[j] for j in rest],
            secret.values[0],
            not is_number(secret.column),
            seeds.child(secret.column.name),
        )
        return _Tried(secret, "boosted trees", *(secret.right(j + 1, guess[j], everybody[j]) for j in (0, 1)))

    tried += spread(boosted, sorted(range(len(secrets)), key=lambda i: -secrets[i].cost))
    return _told([one for one in tried if one.whole.tellable], real, evidence, len(cols))


@dataclass(frozen=True)
class _Secret:
    """A column that is guessed, its values (synthetic, train, holdout), and how far off a number may be."""

    column: Column
    values: list[Array]
    slack: float

    @classmethod
    def of(cls, column: Column, reference: list[pa.Table], tables: list[pa.Table]) -> _Secret:
        if not is_number(column):
            return cls(column, [value_keys(table, column) for table in tables], 0.0)
        every = np.concatenate([numbers(table, column.name) for table in reference])
        every = every[np.isfinite(every)]
        unit = magnitude(every)
        low, high = np.quantile(every / unit, [0.25, 0.75]) if len(every) else (0.0, 0.0)
        return cls(column, [numbers(table, column.name) for table in tables], _CLOSE * float(high - low) * unit)

    @property
    def cost(self) -> int:
        return 2 if is_number(self.column) else len(np.unique(self.values[0]))

    def right(self, side: int, guess: Array, rows: Array) -> tuple[Array, Array]:
        """Of those rows that have a value: which they are, and whether the guess is right."""
        truth = self.values[side][rows]
        if not is_number(self.column):
            there = truth != 0
            return rows[there], guess[there] == truth[there]
        there = np.isfinite(truth)
        guess, truth = guess[there], truth[there]
        dates = self.column.meaning is Meaning.DATETIME
        # of the true number, never of the guess, which could be anything
        slack = np.where((truth == 0) | dates, self.slack, _CLOSE * np.abs(truth))
        # of all a quarter, so that no difference overflows; NaN is never near
        return rows[there], np.abs(guess / 4 - truth / 4) <= slack / 4


@dataclass(frozen=True)
class _Tried:
    """One attacker's guesses of one secret: (rows, whether right) of train and of the holdout."""

    secret: _Secret
    by: str
    train: tuple[Array, Array]
    holdout: tuple[Array, Array]

    @property
    def whole(self) -> Outcome:
        return Outcome.of(f"{self.secret.column.name} ({self.by})", self.train[1], self.holdout[1])

    def among(self, name: str, members: list[Array]) -> Outcome:
        """Only of those rows."""
        right = [guesses[held[rows]] for (rows, guesses), held in zip((self.train, self.holdout), members, strict=True)]
        return Outcome.of(f"{self.whole.name}, {name}", *right)


def _ranked(cols: list[Column], synthetic: pa.Table, evidence: Evidence) -> list[Column]:
    """The target, what is sensitive, then what tells most."""
    bits = dict(zip((column.name for column in cols), entropies(synthetic, cols), strict=True))
    declared = [evidence.target, *evidence.sensitive]
    return sorted(cols, key=lambda c: (declared.index(c.name) if c.name in declared else len(declared), -bits[c.name]))


def _by_nearest(
    secrets: list[_Secret], cols: list[Column], synthetic: pa.Table, real: list[pa.Table], sides: tuple[pa.Table, ...]
) -> list[list[Array]]:
    """Per secret and side the nearest synthetic row's value."""
    ordered = [column for column in cols if is_number(column)] + [column for column in cols if not is_number(column)]
    made, *asked = points([synthetic, *real], sides, ordered)
    axes = len(made.axes)
    places = [ordered.index(secret.column) for secret in secrets]
    left_out = [(place < axes, place if place < axes else place - axes) for place in places]
    rows = [nearest_without(side, made, left_out) for side in asked]
    return [[secret.values[0][side[i]] for side in rows] for i, secret in enumerate(secrets)]


def _told(tried: list[_Tried], real: list[pa.Table], evidence: Evidence, columns: int) -> Findings:
    if not tried:
        raise Unfit("not measurable: no column has a value for ten persons on either side")
    means = [_overall(by, [one for one in tried if one.by == by]) for by in dict.fromkeys(one.by for one in tried)]
    overall = max(means, key=lambda one: one.risk()[0])
    place, *interval = intervals.worst([one.risk for one in means])
    note = f"on average over all secrets, by the {overall.name}: {rates(overall)}"
    every = found(replace(overall, name="attribute_inference_overall"), _KNOWS, means, note, _three(interval))

    declared = {evidence.target, *evidence.sensitive}
    judged = [one for one in tried if one.secret.column.name in declared or _judged(one.whole, len(tried))] or tried
    place, *interval = intervals.worst([one.whole.risk for one in judged])
    worst = judged[place]
    whole, secrets = worst.whole, len({one.secret.column.name for one in judged})
    note = f"the worst of {secrets} secrets that can be judged, of {columns} columns, is {whole.name}: {rates(whole)}"
    parts = sorted((one.whole for one in tried), key=lambda part: -part.risk()[0])[:_PARTS]
    parts += _subgroups(worst, real, evidence)
    each = found(replace(whole, name="attribute_inference"), _KNOWS, parts, note, _three(interval))
    return Findings({**each.scores, **every.scores}, {"attacks": each.details["attacks"] + every.details["attacks"]})


def _judged(one: Outcome, of: int) -> bool:
    return one.detects <= _NOTICED or one.risk(1 - (1 - intervals.LEVEL) / of)[1] > 0


def _overall(by: str, tried: list[_Tried]) -> Outcome:
    """All secrets together: R of each person's share of secrets that are guessed right, which weighs a secret by what
    chance leaves over. What was copied is told whatever the secret, so this sees less of it than any one can."""
    shares = []
    for side in ("train", "holdout"):
        guesses = [getattr(one, side) for one in tried]
        size = 1 + max(int(rows.max()) for rows, _ in guesses)
        asked, right = np.zeros(size), np.zeros(size)
        for rows, hits in guesses:
            asked[rows] += 1
            right[rows] += hits
        shares.append(right[asked > 0] / asked[asked > 0])
    return Outcome.of_means(by, *shares)


def _three(interval: list[float]) -> tuple[float, float, float]:
    value, low, high = interval
    return value, low, high


def _subgroups(worst: _Tried, real: list[pa.Table], evidence: Evidence) -> list[Outcome]:
    """The worst attack by the secret's own values and by what is sensitive: the commonest levels of each."""
    names = dict.fromkeys([worst.secret.column.name, *evidence.sensitive])
    out = []
    for column in compared(*real):
        if column.name not in names or is_number(column):
            continue
        levels = [texts(side, column.name) for side in real]
        counted = levels[0].drop_null().value_counts().to_pylist()
        for item in sorted(counted, key=lambda item: (-item["counts"], item["values"]))[:_LEVELS]:
            members = [np.asarray([text == item["values"] for text in side.to_pylist()]) for side in levels]
            out.append(worst.among(f"{column.name} = {item['values']}", members))
    return out
