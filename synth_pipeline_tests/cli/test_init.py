"""`synth init`: what it writes loads, means what was inferred, and never overwrites."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import yaml as pyyaml
from typer.testing import CliRunner

from synth_pipeline.cli.init import _without_password, write_definition
from synth_pipeline.cli.main import app
from synth_pipeline.errors import SourceError, SpecError
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.spec import yaml
from synth_pipeline.stages.ingest import ingest
from synth_pipeline.stages.run import Run

ODD = [
    "plain",
    "with space",
    "colon: x",
    "# hash",
    "'quote\"",
    "🦄",
    "yes",
    "1",
    "{{ 7 * 7 }}",
    "- dash",
    "a" * 300,
    "__class__",
    "tab\tx",
]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that belongs to no project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shop(folder: Path, names: list[str] | None = None) -> Path:
    import csv

    names = names or ["id", "zip", "age", "paid", "day", "plan", "note"]
    path = folder / "shop.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for i in range(400):
            row = [
                i,
                f"{i % 97:05d}",
                20 + i % 50,
                i * 0.25,
                f"2024-{i % 12 + 1:02d}-11",
                f"plan {i % 3}",
                f"a b c d e f {i}",
            ]
            writer.writerow((row * 3)[: len(names)])
    return path


def test_what_it_writes_loads_and_says_what_was_inferred(outside: Path) -> None:
    path, decisions, _ = write_definition("shop", {"type": "file", "path": str(shop(outside))})
    assert path == Home.find().definitions / "shop" / "defs.yaml"
    spec = yaml.load_spec(path)
    assert {name: column.meaning for name, column in spec.columns.items()} == {
        d.column.name: d.column.meaning for d in decisions
    }
    records = Records.open(ingest(Run(spec, Home.find(), "")).folder)
    assert [str(kind) for kind in records.schema().types] == [str(d.column.type) for d in decisions]
    assert records.facts["rows"]["rejected"] == 0
    text = path.read_text()
    assert text.count("#") > 15
    schema = (path.parent / text.splitlines()[0].partition("$schema=")[2]).resolve()
    assert "generator" in json.loads(schema.read_text())["properties"]["attributes"]["properties"]


def test_names_that_yaml_could_mistake(outside: Path) -> None:
    path, _, _ = write_definition("odd", {"type": "file", "path": str(shop(outside, ODD))})
    assert list(yaml.load_spec(path).columns) == ODD


def test_it_never_overwrites(outside: Path) -> None:
    source = {"type": "file", "path": str(shop(outside))}
    path, _, _ = write_definition("shop", source)
    path.write_text("mine")
    with pytest.raises(SpecError, match="is declared already"):
        write_definition("shop", source)
    assert path.read_text() == "mine"


def test_in_a_project_it_is_the_projects_and_can_move_with_it(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = outside / "project"
    (project / "shops" / "defs").mkdir(parents=True)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "shops"\ndependencies = ["synth_pipeline"]\n[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "shops"\n'
    )
    monkeypatch.chdir(project)
    path, _, _ = write_definition("shop", {"type": "file", "path": str(shop(project))})
    assert path == project / "shops/defs/shop/defs.yaml"
    assert pyyaml.safe_load(path.read_text())["attributes"]["source"]["path"] == "{{ project_root }}/shop.csv"


def test_databases_and_their_passwords(outside: Path) -> None:
    with sqlite3.connect(outside / "x.db") as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b UNION SELECT 2, 'y'")
    path, decisions, _ = write_definition("t", {"type": "sql", "url": f"sqlite:///{outside}/x.db", "table": "t"})
    assert [d.column.name for d in decisions] == ["a", "b"]
    assert yaml.load_spec(path).source.model_dump()["table"] == "t"
    assert not any(folder.name.startswith(".init-") for folder in Home.find().folder("work").iterdir())


def test_no_password_is_written(outside: Path) -> None:
    sql = {"type": "sql", "url": "postgresql://ada:secret@db:5432/clinic", "table": "t"}
    assert _without_password("t", sql)["url"] == "postgresql://ada@db:5432/clinic"  # the driver finds PGPASSWORD itself
    ftp = {"type": "file", "path": "ftp://ada:secret@host/x.csv"}
    assert _without_password("t", ftp)["path"] == "ftp://ada:{{ env('SYNTH_T_PASSWORD') }}@host/x.csv"
    with pytest.raises(SpecError, match="told apart") as raised:
        write_definition("t", {**sql, "url": "postgresql://ada:sec/ret@db/clinic"})
    assert "ret@" not in str(raised.value)
    assert not (outside / "home" / "defs" / "t").exists()


def test_the_command(outside: Path) -> None:
    file = shop(outside)
    done = CliRunner().invoke(app, ["init", "shop", "--from", str(file), "--json"])
    assert done.exit_code == 0, done.output
    note = json.loads(done.stdout.strip().splitlines()[-1])
    assert note["dataset"] == "shop"
    assert note["columns"]["zip"] == {"meaning": "category", "type": "string"}
    with pytest.raises(SpecError, match="name: must match"):
        write_definition("Bad", {"type": "file", "path": str(file)})
    with pytest.raises(SourceError, match="no such file"):
        write_definition("none", {"type": "file", "path": str(outside / "none.csv")})
