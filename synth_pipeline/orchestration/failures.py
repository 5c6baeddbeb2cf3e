"""How errors reach Dagster: ours with their own words, all others by kind alone; the trace stays in SYNTH_HOME."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from synth_pipeline.errors import StorageError, SynthError
from synth_pipeline.records.home import Home


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
        kind = type(error).__name__
        raise dg.Failure(
            description=f"{stage} failed unexpectedly: {kind}. Details: {_write(error, stage, home, run_id)}",
            metadata={"error": kind, "exit_code": 1},
            allow_retries=False,
        ) from None


def _write(error: Exception, stage: str, home: Home, run_id: str) -> str:
    try:
        path = home.folder("logs") / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{stage}-{run_id[:8]}.txt"
        path.write_text("".join(traceback.format_exception(error)), "utf-8", errors="backslashreplace")
        path.chmod(0o600)
    except (OSError, StorageError):
        return "none, the private folder cannot be written"
    return str(path)
