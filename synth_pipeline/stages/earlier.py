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


def add_earlier(evidence: Evidence, found: dict[str, list[str]]) -> tuple[Evidence, str]:
    """The evidence with the rows of these releases, and what is wrong when some could not be read: then nobody knows
    what all of them expose together. A release that has none of the learned columns adds nothing."""
    shape, lost = evidence.train.schema, list[str]()
    opened = []
    for content, paths in found.items():
        if (one := _opened(content, paths)) is None:
            lost.append(content)
        elif _named(one[1]) & set(shape.names):
            opened.append(one)
    rows = [(manifest.tables[0].rows, _rows(store, manifest, shape, lost)) for store, manifest in opened]
    evidence = with_earlier(evidence, rows)
    if not lost:
        return evidence, ""
    return evidence, f"{len(lost)} of {len(found)} earlier releases of this source cannot be read any more"


def _opened(content: str, paths: Iterable[str]) -> tuple[Store, Manifest] | None:
    """The first copy that is still there."""
    for path in paths:
        try:
            store = open_store(path)
            manifest = Manifest.from_bytes(store.read(MANIFEST), path)
        except (OSError, StorageError):
            continue
        if manifest.content_id == content:
            return store, manifest
    return None


def _named(manifest: Manifest) -> set[str]:
    return {field.name for field in manifest.tables[0].fields} if manifest.tables else set()


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
