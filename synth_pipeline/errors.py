"""Every error that the project raises on purpose: what happened, where, what was kept, what to do next.

No message ever holds a row's content: messages reach logs, the Dagster event log and terminals.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthError(Exception):
    """Base of all errors; `terminal` errors are never retried, the others may succeed when tried again."""

    terminal = True
    exit_code = 1

    def __init__(self, what: str, *, where: str = "", kept: str = "", fix: str = "") -> None:
        self.what, self.where, self.kept, self.fix = what, where, kept, fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.kept:
            lines.append(f"  kept: {self.kept}")
        if self.fix:
            lines.append(f"  next: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.kept, self.fix)


def _rebuild(cls: type[SynthError], what: str, where: str, kept: str, fix: str) -> SynthError:
    return cls(what, where=where, kept=kept, fix=fix)


class SpecError(SynthError):
    """The YAML, or what was asked for on the command line, is wrong."""

    exit_code = 2


class SourceError(SynthError):
    """The source cannot be read: missing, malformed, refused."""


class SourceUnavailable(SourceError):
    """The source did not answer this time (a connection, a lock): trying again may help."""

    terminal = False


class ContractError(SynthError):
    """Data do not keep what their frozen schema or contract promises."""

    exit_code = 3


class PrivacyError(SynthError):
    """A protection could not be applied, or something personal survived it."""

    exit_code = 3


class TrainingError(SynthError):
    """A generator could not be fitted."""


class GateFailed(SynthError):
    """A blocking gate did not pass: nothing was published."""

    exit_code = 3


class StorageError(SynthError):
    """A store could not be read or written, or what it holds is not what its manifest lists."""


class StorageBusy(StorageError):
    """Another live process is doing this very work."""

    terminal = False


class WorkerLost(SynthError):
    """A worker process died: killed, out of memory, or a crash in native code."""

    terminal = False


class MissingExtra(SynthError):
    """An optional package is needed for what was asked."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """`Did you mean "x"?`, or the options when nothing is near, or nothing when there are none."""
    known = sorted(map(str, options))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"allowed: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else ""
