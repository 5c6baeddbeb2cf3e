"""A uniform random sample of records without replacement: how whatever cannot stream stays bounded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synth_pipeline.records.records import Records
from synth_pipeline.seeds import Seeds


def draw(records: Records, split: str | None, most: int, seeds: Seeds) -> pa.Table:
    """All rows of the first table, or `most` of them, in stored order."""
    rows, schema = records.rows(split), records.schema()
    chosen = None
    if rows > most:
        chosen = np.sort(seeds.child("sample").generator().choice(rows, most, replace=False, shuffle=False))
    begin, pieces = 0, []
    for _, batch in records.batches(split, records.tables[0]):
        end = begin + batch.num_rows
        if chosen is None:
            pieces.append(batch)
        else:
            left, right = np.searchsorted(chosen, (begin, end))
            if right > left:
                pieces.append(batch.take(pa.array(chosen[left:right] - begin)))
        begin = end
    return pa.Table.from_batches((piece.cast(schema) for piece in pieces), schema)
