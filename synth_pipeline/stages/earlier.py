"""What is already out: releases made from the rows that a release is about to be made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.dataset as ds

from synth_pipeline.errors import StorageError
from synth_pipeline.evaluation.cumulative import with_earlier
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.publishing.manifest import Manifest
from synth_pipeline.publishing.release import Contents
from synth_pipeline.publishing.store import MANIFEST, RemoteStore, Store, open_store
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.reader import scan
from synth_pipeline.records.records import Records
from synth_pipeline.stages.run import Run


def earlier(run: Run, root: str, released: Records) -> dict[str, list[str]]:
    """Content id → where it lies, of all that was published from a source root before `released`.

    By any dataset, in any version, retracted ones too: they were out there. Not the very rows that are judged: to
    publish them once more tells nothing new, and an unchanged dataset is not validated again for its own release.

    Of a partitioned source only what may hold the same real rows: partitions have none in common, so another one's
    releases can lean on none of these; a release of the whole can.
    """
    found: dict[str, list[str]] = {}
    if not root:
        return found
    own = Contents.of(released, {}).root
    for release in Ledger(run.home.ledger).releases(root):
        apart = run.partition and release.partition and release.partition != run.partition
        if release.content_id != own and not apart:
            found.setdefault(release.content_id, []).append(release.path)
    return dict(sorted(found.items()))


def add_earlier(evidence: Evidence, found: dict[str, list[str]]) -> tuple[Evidence, list[str]]:
    """The evidence with the rows of these releases, and a warning about those whose files are gone or damaged, or that
    have none of the columns that were learned."""
    shape, lost = evidence.train.schema, list[str]()
    known = (_opened(content, paths, shape) for content, paths in found.items())
    opened = [one for one in known if one is not None]
    rows = [(manifest.tables[0].rows, _rows(store, manifest, shape, lost)) for store, manifest in opened]
    evidence = with_earlier(evidence, rows)
    missing = len(found) - len(opened) + len(lost)
    if not missing:
        return evidence, []
    which = f"{missing} of {len(found)} earlier releases of this source"
    return evidence, [f"{which} could not be read or compared: what they add is not measured"]


def _opened(content: str, paths: Iterable[str], shape: pa.Schema) -> tuple[Store, Manifest] | None:
    """The first copy that is still there."""
    for path in paths:
        try:
            store = open_store(path)
            manifest = Manifest.from_bytes(store.read(MANIFEST), path)
        except (OSError, StorageError):
            continue
        first = manifest.tables[0].fields if manifest.tables else ()
        if manifest.content_id == content and any(field.name in shape.names for field in first):
            return store, manifest
    return None


def _rows(store: Store, manifest: Manifest, shape: pa.Schema, lost: list[str]) -> Iterator[pa.RecordBatch]:
    """Those learned columns that the release has, of its first table."""
    files = [file.path for file in manifest.data_files(manifest.tables[0].name)]
    try:
        if isinstance(store, RemoteStore):
            data = ds.dataset([store.full(file) for file in files], filesystem=store.fs, format="parquet")
        else:
            data = ds.dataset([store.location(file) for file in files], format="parquet")
        yield from scan(data, [name for name in shape.names if name in data.schema.names])
    except (OSError, pa.ArrowException):
        lost.append(manifest.version)
