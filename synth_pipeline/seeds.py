"""Named random streams: every public draw comes from a named child of one root seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """A node in the tree of seeds; equal paths give equal streams, on any machine and in any order of use.

    Never a source of secrets: split and pseudonym keys and the noise of differential privacy live elsewhere.
    """

    root: int
    path: tuple[str | int, ...] = ()

    def child(self, *names: str | int) -> Seeds:
        return Seeds(self.root, (*self.path, *names))

    def generator(self) -> np.random.Generator:
        """A Philox generator: counter-based, so streams of different children never overlap."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self._digest()[:16], "little")))

    def integer(self, bits: int = 31) -> int:
        """A number for libraries that want one."""
        return int.from_bytes(self._digest()[16:24], "little") >> (64 - bits)

    def _digest(self) -> bytes:
        # repr keeps 1 and "1" apart; the unit separator keeps ("a", "b") and ("ab",) apart
        return hashlib.sha256("\x1f".join(map(repr, (self.root, *self.path))).encode()).digest()
