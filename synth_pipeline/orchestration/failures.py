"""How errors reach Dagster: ours with their own words, all others by kind alone; the trace stays in SYNTH_HOME."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from synth_pipeline.errors import SynthError
from synth_pipeline.records.home import Home
from synth_pipeline.records.traces import write_trace


@contextmanager
def told(stage: str, home: Home, run_id: str) -> Iterator[None]:
    """Raises `dg.Failure` in place of any error; a terminal one is never retried.

    A library's message can quote data, and the event log is shared: such messages are written to a private file only.
    """
    try:
        yield
    except SynthError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__, "exit_code": error.exit_code},
            allow_retries=not error.terminal,
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, its message must not travel
        kind, trace = type(error).__name__, write_trace(error, home, f"{stage}-{run_id[:8]}")
        raise dg.Failure(
            description=f"{stage} failed unexpectedly: {kind}. Details: {trace}",
            metadata={"error": kind, "exit_code": 1},
            allow_retries=False,
        ) from None
