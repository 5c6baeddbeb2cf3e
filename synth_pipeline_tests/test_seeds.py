"""Seeds are a tree: equal paths give equal streams, different paths independent ones."""

from __future__ import annotations

import numpy as np

from synth_pipeline.seeds import Seeds


def test_equal_paths_give_equal_streams() -> None:
    one = Seeds(7).child("generate").child("shard", 3)
    other = Seeds(7, ("generate", "shard", 3))
    assert np.array_equal(one.generator().integers(0, 2**63, 9), other.generator().integers(0, 2**63, 9))


def test_paths_do_not_run_together() -> None:
    seeds = [Seeds(7, ("a", "b")), Seeds(7, ("ab",)), Seeds(7, ("a", 1)), Seeds(7, ("a", "1")), Seeds(8, ("a", "b"))]
    assert len({seed.integer(63) for seed in seeds}) == len(seeds)


def test_integers_fit_their_bits() -> None:
    assert all(0 <= Seeds(k).integer(31) < 2**31 for k in range(200))


def test_first_draw_is_uniform_over_children() -> None:
    draws = np.array([Seeds(0).child(k).generator().random() for k in range(4000)])
    assert abs(draws.mean() - 0.5) < 4 / np.sqrt(12 * 4000)
