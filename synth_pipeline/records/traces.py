"""Where unexpected errors leave their trace: messages of libraries can quote data, so the file is private."""

from __future__ import annotations

import time
import traceback

from synth_pipeline.errors import StorageError
from synth_pipeline.records.home import Home


def write_trace(error: BaseException, home: Home, label: str) -> str:
    """Writes the whole trace below SYNTH_HOME; returns its path, or why there is none."""
    try:
        path = home.folder("logs") / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{label}.txt"
        path.touch(mode=0o600)
        path.write_text("".join(traceback.format_exception(error)), "utf-8", errors="backslashreplace")
    except (OSError, StorageError):
        return "none, as the private folder cannot be written"
    return str(path)
