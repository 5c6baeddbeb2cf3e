"""`synth list, show, compare, verify, lineage, retract, forget, gc`: what was published, and what is kept of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from synth_pipeline.errors import GateFailed, SpecError, StorageError
from synth_pipeline.publishing.audit import Audit, verify_folder, verify_pointers
from synth_pipeline.publishing.audit import verify as audit_version
from synth_pipeline.publishing.lineage import lineage as walk
from synth_pipeline.publishing.load import Release, find
from synth_pipeline.publishing.manifest import Manifest
from synth_pipeline.publishing.nouns import MANIFESTS
from synth_pipeline.publishing.retention import collect, find_source
from synth_pipeline.publishing.retention import forget as wipe
from synth_pipeline.publishing.store import MANIFEST, LocalStore, Store, open_store
from synth_pipeline.publishing.versions import Line, datasets, lines, snapshots
from synth_pipeline.records.home import Home

StoreAt = Annotated[str | None, typer.Option("--store", help="Folder or URI of the releases [SYNTH_STORE].")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Partition = Annotated[str | None, typer.Option("--partition", help="One part of a partitioned dataset.")]
Name = Annotated[str, typer.Argument(help="NAME, NAME@VERSION, or the path of a version's folder.")]


_NOTHING: dict[str, Any] = {"dataset": "", "version": None, "rows": 0, "path": None, "state": "", "verdict": ""}


def list_(store: StoreAt = None, json_: Json = False) -> None:
    """Every dataset here: its latest release, or how far it has come."""
    from synth_pipeline.orchestration.location import declared

    place = open_store(store)
    found = {name: _listed(place, name) for name in datasets(place)}
    for note in _unpublished(Home.find()):
        found.setdefault(note["dataset"], note)
    for name in declared():
        found.setdefault(name, {**_NOTHING, "dataset": name, "state": "declared, never run"})
    if json_:
        _json({"store": place.where, "datasets": [found[name] for name in sorted(found)]})
    elif not found:
        _say(f"nothing was published at {place.where} yet")
    for _, note in () if json_ else sorted(found.items()):
        tail = f", {len(note['partitions'])} partitions" if note.get("partitions") else ""
        state = f"{note['rows']:,} rows{tail}" if note["version"] else note["state"]
        _say(f"{note['dataset']:<24} {note['version'] or '-':<8} {state}")


def show(name: Name, store: StoreAt = None, partition: Partition = None, json_: Json = False) -> None:
    """What a release says of itself: rows, columns, gates, files."""
    release = _release(name, store, partition)
    if json_:
        _json({**release.manifest, "path": str(release.path)})
        return
    _say(f"{release.name} {release.version}  {release.rows:,} rows  {release.path}")
    for line, manifest in release.members:
        if release.snapshot:
            _say(f"\n{line.label} {manifest.version}  {manifest.rows:,} rows")
        _show(manifest)


def compare(first: Name, second: Name, store: StoreAt = None, partition: Partition = None, json_: Json = False) -> None:
    """Two releases side by side: rows, columns, and each gate's value."""
    sides = [_one(name, store, partition)[1] for name in (first, second)]
    columns = [{f"{table.name}.{field.name}" for table in side.tables for field in table.fields} for side in sides]
    gates = [{str(gate["name"]): gate.get("value") for gate in side.validation.gates} for side in sides]
    note: dict[str, Any] = {
        "releases": [
            f"{side.dataset}{f'[{side.partition}]' if side.partition else ''}@{side.version}" for side in sides
        ],
        "same_content": sides[0].content_id == sides[1].content_id,
        "rows": [side.rows for side in sides],
        "generators": [side.training.generator for side in sides],
        "columns": {"added": sorted(columns[1] - columns[0]), "removed": sorted(columns[0] - columns[1])},
        "gates": {name: [side.get(name) for side in gates] for name in dict.fromkeys((*gates[0], *gates[1]))},
    }
    if json_:
        _json(note)
        return
    _say(f"{'':<24} {note['releases'][0]:>20} {note['releases'][1]:>20}")
    for label in ("rows", "generators"):
        _say(f"{label:<24} {note[label][0]:>20} {note[label][1]:>20}")
    for name, values in note["gates"].items():
        _say(f"{name:<24} {_number(values[0]):>20} {_number(values[1]):>20}")
    for change, names in note["columns"].items():
        if names:
            _say(f"columns {change}: {', '.join(names)}")
    if note["same_content"]:
        _say("the rows are the same")


def verify(
    name: Name,
    store: StoreAt = None,
    partition: Partition = None,
    all_: Annotated[bool, typer.Option("--all", help="Every version, not only the latest.")] = False,
    json_: Json = False,
) -> None:
    """Recomputes every hash; names each file that is missing, altered, truncated or does not belong there."""
    audits, pointers = _audits(name, store, partition, all_)
    sound = not pointers and all(audit.sound for audit in audits)
    if json_:
        _json({"sound": sound, "releases": [audit.to_json() for audit in audits], "pointers": pointers})
    else:
        for audit in audits:
            state = "sound" if audit.sound else f"{len(audit.problems)} problems"
            note = f" (retracted: {audit.retracted})" if audit.retracted is not None else ""
            _say(f"{audit.release}: {state}, {audit.files} files, {audit.bytes:,} bytes{note}")
            for problem in audit.problems:
                _say(f"  {problem}")
        for problem in pointers:
            _say(f"  {problem}")
    if not sound:
        raise typer.Exit(1)


def lineage(name: Name, store: StoreAt = None, partition: Partition = None, json_: Json = False) -> None:
    """The way back from a release to its source."""
    home, release = Home.find(), _release(name, store, partition)
    chains = {line.label: walk(home, line, manifest) for line, manifest in release.members}
    if json_:
        _json(
            {
                "dataset": release.name,
                "version": release.version,
                "lineage": {label: [step.to_json() for step in steps] for label, steps in chains.items()},
            }
        )
        return
    for label, steps in chains.items():
        _say(label if len(chains) > 1 else f"{label} {release.version}")
        for step in steps:
            facts = ", ".join(f"{key} {value}" for key, value in step.facts.items() if value not in ("", None, {}, 0))
            _say(
                f"  {step.noun:<10} {step.content_id[:16]:<16}  {step.note}{': ' if step.note and facts else ''}{facts}"
            )
            _say(f"  {'':<10} {step.folder or '(not here)'}" if step.noun != "source" else "")


def retract(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why; told to everyone who asks for this version.")],
    store: StoreAt = None,
    partition: Partition = None,
    json_: Json = False,
) -> None:
    """Takes a version back: `load` refuses it, `latest` moves to the one before. The files stay."""
    if "@" not in name and not Path(name).is_dir():
        raise SpecError("name the version to retract", fix=f"synth retract {name}@v0001 --reason …")
    if (member := _in_folder(name)) is not None:
        line, version = member[0], member[1].version
    else:
        place, dataset, version = _place(name, store)
        line = _line(place, dataset, partition)
    fresh = line.retract(version, reason)
    latest = line.latest()
    if json_:
        _json({"retracted": f"{line.label}@{version}", "reason": reason, "fresh": fresh, "latest": latest})
        return
    _say(f"{line.label}@{version} {'is' if fresh else 'was already'} retracted; latest is {latest or 'none'}")


def forget(
    source: Annotated[str, typer.Argument(help="The source's URI or path, its root id, or a dataset made from it.")],
    releases: Annotated[bool, typer.Option("--releases", help="Retract what was published from it, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreAt = None,
    json_: Json = False,
) -> None:
    """Wipes all private work that derives from a source, from ingested rows to scorecards and reports."""
    home = Home.find()
    gone = find_source(home, source)
    for folder in (*gone.folders, *gone.definitions):
        _note(f"  {folder}")
    for line in gone.to_json()["releases"]:
        _note(f"  release {line} {'will be retracted' if releases else 'stays (--releases retracts it)'}")
    if not yes and not typer.confirm(f"Wipe all that derives from {gone.uri}?", err=True):
        raise typer.Exit(2)
    wipe(home, gone, open_store(store) if releases else None)
    if json_:
        _json(gone.to_json())
    else:
        _say(f"forgot {gone.uri}: {len(gone.folders)} folders, {len(gone.retracted)} releases retracted")


def gc(
    older_than: Annotated[float, typer.Option("--older-than", help="Days that unneeded work is kept.", min=0)] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    store: StoreAt = None,
    json_: Json = False,
) -> None:
    """Clears versions that were never committed, and old work that no dataset stands on."""
    found = collect(Home.find(), open_store(store), older_than, dry_run=dry_run)
    freed = sum(waste.bytes for waste in found)
    if json_:
        _json({"dry_run": dry_run, "bytes": freed, "removed": [waste.to_json() for waste in found]})
        return
    for waste in found:
        _say(f"{waste.path}: {waste.why}, {waste.bytes:,} bytes")
    _say(f"{freed:,} bytes in {len(found)} places {'would go' if dry_run else 'freed'}")


def _place(name: str, store: str | None) -> tuple[Store, str, str]:
    """Store, dataset and version that NAME or NAME@VERSION stands for."""
    dataset, _, version = name.partition("@")
    return open_store(store), dataset, version or "latest"


def _in_folder(name: str) -> tuple[Line, Manifest] | None:
    """The version whose folder `name` is; None if it is no such path."""
    folder = Path(name).absolute()
    if not (folder / MANIFEST).is_file():
        return None
    manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    depth = 4 if manifest.partition else 2  # <store>/<dataset>[/partitions/<key>]/versions/<version>
    store = LocalStore(str(folder.parents[min(depth, len(folder.parents) - 1)]))
    return Line(store, manifest.dataset, manifest.partition), manifest


def _release(name: str, store: str | None, partition: str | None) -> Release:
    """What NAME, NAME@VERSION or a path names: one version, or the whole of a partitioned dataset."""
    if (member := _in_folder(name)) is not None:
        return Release(member[1].dataset, member[0].store, (member,))
    place, dataset, version = _place(name, store)
    return find(place, dataset, version, partition)


def _one(name: str, store: str | None, partition: str | None) -> tuple[Line, Manifest]:
    """Exactly one version."""
    release = _release(name, store, partition)
    if release.snapshot:
        raise SpecError(f"{release.name} is partitioned", fix="name one part with --partition")
    return release.members[0]


def _line(place: Store, dataset: str, partition: str | None) -> Line:
    known = lines(place, dataset)
    if partition is None and known[0].partition is not None:
        raise SpecError(f"{dataset} is partitioned", fix="name one part with --partition")
    found = next((line for line in known if line.partition == partition), None)
    if found is None:
        raise StorageError(f'{dataset} has no partition "{partition}"', where=place.where)
    return found


def _audits(name: str, store: str | None, partition: str | None, every: bool) -> tuple[list[Audit], list[str]]:
    folder = Path(name)
    if folder.is_dir() and (folder / MANIFEST).is_file():  # a copy, anywhere
        whole = folder.absolute()
        return [verify_folder(LocalStore(str(whole.parent)), whole.name, name)], []
    place, dataset, version = _place(name, store)
    if version != "latest":
        line = _line(place, dataset, partition)
        return [audit_version(line, version)], [f"{line.label}: {problem}" for problem in verify_pointers(line)]
    audits, pointers = [], []
    for line in [_line(place, dataset, partition)] if partition else lines(place, dataset):
        pointers += [f"{line.label}: {problem}" for problem in verify_pointers(line)]
        newest = line.newest()
        audits += [audit_version(line, one) for one in (line.committed() if every else [newest] if newest else [])]
    return audits, pointers


def _listed(place: Store, name: str) -> dict[str, Any]:
    note = {**_NOTHING, "dataset": name}
    made = snapshots(place, name)
    keys = [line.partition for line in lines(place, name) if line.partition]
    try:
        release = find(place, name)
    except (StorageError, GateFailed) as error:
        return {**note, "state": error.what, "partitions": keys}
    verdicts = {manifest.validation.verdict for _, manifest in release.members}
    return {
        **note,
        "version": release.version,
        "rows": release.rows,
        "path": str(release.path),
        "verdict": verdicts.pop() if len(verdicts) == 1 else "mixed",
        "created_at": max(manifest.created_at for _, manifest in release.members),
        "state": "published",
        **({"partitions": keys, "snapshots": len(made)} if keys else {}),
    }


def _unpublished(home: Home) -> list[dict[str, Any]]:
    """Datasets that have been worked on without a release: which stage they have come to."""
    work, found = home.root / "work", []
    for folder in sorted(work.iterdir()) if work.is_dir() else ():
        reached = [stage for stage in MANIFESTS if any((folder / stage).glob("current*.json"))]
        if not reached:
            continue
        notes = [json.loads(path.read_bytes()) for path in (folder / reached[-1]).glob("current*.json")]
        verdict = next((str(note["metrics"]["verdict"]) for note in notes if note["metrics"].get("verdict")), "")
        state = f"not published, came to: {reached[-1]}" + (f" ({verdict})" if verdict else "")
        found.append({**_NOTHING, "dataset": folder.name, "state": state, "verdict": verdict})
    return found


def _show(manifest: Manifest) -> None:
    if manifest.description:
        _say(manifest.description)
    learned, check, source = manifest.training, manifest.validation, manifest.source
    _say(
        f"  made     {manifest.created_at}, generator {learned.generator} {learned.version} from {learned.rows:,} rows"
    )
    _say(f"  source   {source.kind} {source.uri}{' (simulated)' if source.simulated else ''}")
    _say(f"  policy   {check.policy} {check.policy_version}: {check.verdict}, attempt {check.attempts}")
    for gate in check.gates:
        between = f" [{_number(gate.get('low'))}, {_number(gate.get('high'))}]" if gate.get("low") is not None else ""
        limit = _number(gate.get("threshold"))
        _say(
            f"  gate     {gate.get('name')} {_number(gate.get('value'))}{between}, limit {limit}: {gate.get('verdict')}"
        )
    for table in manifest.tables:
        _say(f"  table    {table.name}: {table.rows:,} rows, {len(table.fields)} columns")
        for field in table.fields:
            told = f"  {field.description}" if field.description else ""
            _say(f"           {field.name}: {field.meaning}, {field.type}{told}")
    _say(f"  files    {len(manifest.files)}, {sum(file.bytes for file in manifest.files):,} bytes")


def _number(value: Any) -> str:
    return f"{value or 0:.4g}" if isinstance(value, int | float) else "-"  # never "-0"


def _say(text: str) -> None:
    # a name may hold anything: control characters would reach the terminal
    sys.stdout.write("".join(sign if sign == "\n" or sign.isprintable() else "?" for sign in text).rstrip() + "\n")


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


def _json(note: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(note, ensure_ascii=False, default=str) + "\n")
