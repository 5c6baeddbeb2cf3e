"""How a level is written where people name it: in `generation.balance`, whatever the column's type."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def level_texts(values: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Each level as text: true, 1, 2.5, 2020-01-31; None where it is missing."""
    return list(pc.cast(values, pa.string()).to_pylist())


def level_text(text: str, kind: pa.DataType) -> str:
    """Another spelling of a level (1.0, True) as `level_texts` has it; what is none of that type stays as it is."""
    try:
        return str(level_texts(pa.array([text]).cast(kind))[0])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return text
