"""What a measure would notice in four cases of five: closed forms for shares and for counts."""

from __future__ import annotations

import math

import numpy as np

from synth_pipeline.evaluation.intervals import LEVEL

_POWER = 0.8
_GRID = 101


def least_share(pi: float, n: float) -> float | None:
    """The smallest true share, of n trials, whose exact interval lies above π in 80 % of cases; None: there is none.

    Fewest hits x with P[Bin(n, π) ≥ x] ≤ 2.5 %; then the p with P[Bin(n, p) ≥ x] = 80 %, a quantile of a Beta.
    """
    from scipy.stats import beta, binom

    trials = int(n)
    hits = int(binom.ppf((1 + LEVEL) / 2, trials, pi)) + 1
    return float(beta.ppf(_POWER, hits, trials - hits + 1)) if 0 < hits <= trials else None


def least_count(pi: float, by_chance: float) -> float:
    """How many of the rows must be copies so that train's excess leaves 0 in 80 % of cases, where `by_chance` other
    rows meet real ones too, train's with probability π.

    Hits in train T ~ Poisson(by_chance · π + copies), in the holdout H ~ Poisson(by_chance · (1 - π)). Beside h hits
    in the holdout, t in train leave 0 when P[Bin(t + h, π) ≥ t] ≤ 2.5 %: a quantile of a negative binomial.
    """
    from scipy.optimize import brentq
    from scipy.stats import nbinom, poisson

    if not 0 < pi < 1:
        return math.inf
    held = poisson.ppf((np.arange(_GRID) + 0.5) / _GRID, by_chance * (1 - pi)) if by_chance > 0 else np.zeros(1)
    fewest = nbinom.ppf((1 + LEVEL) / 2, held + 1, 1 - pi) + 1

    def short(copies: float) -> float:
        return _POWER - float(poisson.sf(fewest - 1, by_chance * pi + copies).mean())

    return float(brentq(short, 0.0, 2 * fewest.max() + 20, xtol=1e-6))
