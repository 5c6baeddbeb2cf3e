"""Each stage's version: part of its plan ids and of Dagster's code versions, readable without importing the stage.

Raise one when the same spec and the same inputs shall give a different result.
"""

from __future__ import annotations

INGEST = "1"
PROTECT = "1"
TRAIN = "1"
GENERATE = "1"
VALIDATE = "2"
EXPORT = "1"

VERSIONS = {
    "ingest": INGEST,
    "protect": PROTECT,
    "train": TRAIN,
    "generate": GENERATE,
    "validate": VALIDATE,
    "export": EXPORT,
}
"""Stage → version."""
