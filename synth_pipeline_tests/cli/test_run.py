"""`synth run`: a file becomes a release and a run that Dagster remembers; a second time nothing is recomputed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

from synth_pipeline.cli.adhoc import Wishes, declare, source_of, split_password
from synth_pipeline.cli.main import app, guarded
from synth_pipeline.cli.progress import Plain
from synth_pipeline.errors import SpecError
from synth_pipeline.progress import Tick
from synth_pipeline.records.home import Home
from synth_pipeline.spec import yaml

STAGES = ["ingest", "protect", "train", "generate", "validate", "export"]
KEYS = {
    "dataset", "version", "release", "published", "reused", "gates", "rows", "seconds", "scorecard", "report",
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def note(self) -> dict[str, Any]:
        return dict(json.loads(self.out.splitlines()[-1]))


class Place:
    """A SYNTH_HOME, a store and a working folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.env = {
            **{key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"},
            "SYNTH_HOME": str(self.home),
            "SYNTH_STORE": str(root / "releases"),
            "OMP_NUM_THREADS": "2",
        }

    def synth(self, *arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "synth_pipeline.cli.main", *arguments],
            capture_output=True,
            text=True,
            env=self.env,
            cwd=self.root,
            timeout=280,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def write_table(path: Path, rows: int = 1_500) -> Path:
    draw = random.Random(7)
    lines = ["height,weight,pulse,age,city,active"]
    for _ in range(rows):
        height, age = draw.gauss(170, 9), draw.randint(18, 79)
        weight = (height - 100) * 0.9 + draw.gauss(0, 8)
        pulse = 90 - age / 4 + draw.gauss(0, 6)
        city = draw.choices(["Rome", "Paris", "Oslo", "Bern"], [4, 3, 2, 1])[0]
        active = str(draw.random() < height / 340).lower()
        lines.append(f"{round(height)},{round(weight)},{round(pulse)},{age},{city},{active}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def first(place: Place) -> Done:
    """The first run of a file."""
    write_table(place.root / "People 2026.csv")
    policy = {"copy_excess": {"max": 0.5, "minimum_n": 100}, "shape_error": {"max": 0.5, "minimum_n": 100}}
    easy = {"name": "easy", "version": 1, "description": "So that few rows are enough.", "gates": policy}
    (place.root / "easy.yaml").write_text(pyyaml.safe_dump(easy), "utf-8")
    return place.synth("run", "People 2026.csv", "--policy", "easy.yaml", "--json")


def test_a_file_becomes_a_release(first: Done, place: Place) -> None:
    assert first.code == 0, first.err
    note = first.note
    assert set(note) >= KEYS
    assert (note["dataset"], note["version"], note["published"], note["reused"]) == (
        "people_2026",
        "v0001",
        True,
        False,
    )
    assert list(note["seconds"]) == STAGES
    assert all(seconds > 0 for seconds in note["seconds"].values())
    assert all(gate["verdict"] == "pass" for gate in note["gates"])
    assert {"name", "value", "low", "high", "threshold", "verdict"} <= set(note["gates"][0])
    assert Path(note["release"]).is_relative_to(place.root / "releases")
    assert Path(note["report"]).is_file()
    assert Path(note["scorecard"]).is_file()
    assert len(first.out.splitlines()) == 1  # everything human went to stderr
    for stage in STAGES:
        assert f"\n{stage}" in "\n" + first.err
    assert "copy_excess" in first.err


def test_the_dataset_is_declared_from_then_on(first: Done, place: Place) -> None:
    file = place.home / "defs" / "people_2026" / "defs.yaml"
    spec = yaml.load_spec(file)
    assert spec.source.model_dump()["path"] == str(place.root / "People 2026.csv")
    assert first.code == 0


def test_dagster_remembers_the_run(first: Done, place: Place) -> None:
    code = f"""
import dagster as dg, json
with dg.DagsterInstance.from_config({str(place.home / "dagster")!r}) as instance:
    [run] = instance.get_runs()
    seen = {{}}
    for name in "ingested protected model synthetic scorecard release".split():
        event = instance.get_latest_materialization_event(dg.AssetKey(["people_2026", name]))
        assert event.run_id == run.run_id
        shown = event.asset_materialization
        seen[name] = [sorted(shown.metadata), shown.tags["dagster/data_version"]]
    checks = [
        (r.dagster_event.asset_check_evaluation_data.check_name, r.dagster_event.asset_check_evaluation_data.passed)
        for r in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    print(json.dumps([run.status.value, run.tags["synth/dataset"], seen, sorted(checks)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=place.env)
    assert done.returncode == 0, done.stderr
    status, dataset, seen, checks = json.loads(done.stdout.splitlines()[-1])
    assert (status, dataset) == ("SUCCESS", "people_2026")
    for name, (metadata, version) in seen.items():
        assert {"reused", "seconds", "content_id", "dagster/row_count"} <= set(metadata) or name in (
            "model",
            "scorecard",
        )
        assert len(version) >= 16
    for name in ("ingested", "protected", "synthetic", "release"):
        assert "dagster/column_schema" in seen[name][0]
    for name in ("protected", "synthetic", "release"):
        assert "dagster/column_lineage" in seen[name][0]
    assert {"copy_excess", "shape_error", "gates", "report"} <= set(seen["scorecard"][0])
    assert checks == [["contract", True], ["contract", True], ["gates", True], ["residual_scan", True]]
    assert first.code == 0


def test_an_unchanged_run_recomputes_nothing(first: Done, place: Place) -> None:
    again = place.synth("run", "people_2026", "--json")
    assert again.code == 0, again.err
    assert (again.note["reused"], again.note["published"], again.note["version"]) == (True, True, "v0001")
    assert again.note["release"] == first.note["release"]
    assert again.err.count("reused") >= len(STAGES)


def test_a_gate_that_blocks_publishes_nothing_and_says_why(first: Done, place: Place) -> None:
    strict = place.root / "strict.yaml"
    strict.write_text(
        "name: strict\nversion: 1\ngates:\n  shape_error: {max: 0.0000001, minimum_n: 100}\n  copy_excess: {max: 1}\n",
        "utf-8",
    )
    done = place.synth("run", "people_2026", "--policy", "strict.yaml", "--json")
    assert done.code == 3, done.err
    note = done.note
    assert (note["published"], note["version"], note["release"]) == (False, None, None)
    assert note["gates"][0]["verdict"] != "pass"
    assert note["seconds"]["export"] is None
    assert "not published" in done.err
    assert "shape_error" in done.err
    assert note["scorecard"] in done.err
    versions = sorted(path.name for path in (place.root / "releases" / "people_2026" / "versions").iterdir())
    assert versions == ["v0001"]
    assert first.code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.csv"], 1, "there is no such file"),
        (["wane"], 2, 'did you mean "wine"?'),
        (["table.csv", "--set", "generator.min_leef=3"], 2, 'did you mean "min_leaf"?'),
        (["table.csv", "--generator", "tree"], 2, 'did you mean "trees"?'),
        (["table.csv", "--set", "seed"], 2, "not of the form"),
        (["table.csv", "--name", "Not A Name"], 2, "name: must match"),
        (["table.csv", "--name", "wine"], 2, "is declared in"),
        (["table.csv", "--table", "x"], 2, "belong to"),
        (["table.csv", "--partition", "2026"], 2, "has no partitions"),
        (["wine", "--table", "x"], 2, "says in its YAML what it reads"),
        (["wine", "--query", "SELECT 1"], 2, "says in its YAML what it reads"),
        (["wine", "--name", "other"], 2, "leave out --name"),
        (["clinic"], 2, "is partitioned: say which one"),
        (["clinic", "--partition", "2026-10-02"], 2, 'no partition "2026-10-02"'),
        (["sqlite:///x.db"], 2, "either --table or --query"),
        (["wine", "--rows", "0"], 2, "generation.rows: must be greater than 0"),
        (["wine", "--rows", "many"], 2, "--rows"),
        (["wine", "--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_wrong_usage_says_so(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_table(tmp_path / "table.csv", 10)
    monkeypatch.setattr(sys, "argv", ["synth", "run", *arguments])
    monkeypatch.chdir(tmp_path)
    assert guarded(app) == code
    told = capsys.readouterr()
    assert message in told.err
    assert not told.out
    assert not (tmp_path / "home" / "dagster").exists()  # nothing was run


def test_an_error_is_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["synth", "run", "wane", "--json"])
    assert guarded(app) == 2
    note = json.loads(capsys.readouterr().out)
    assert set(note) >= KEYS
    assert (note["published"], note["exit_code"]) == (False, 2)


def test_json_does_not_repeat_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("postgresql://ada:canary@localhost:1/x", "postgresql://ada:can/ary@localhost:1/x"):
        monkeypatch.setattr(sys, "argv", ["synth", "run", url, "--json"])  # neither --table nor --query
        assert guarded(app) == 2
        told = capsys.readouterr()
        assert json.loads(told.out)["dataset"].startswith("postgresql://")
        assert "ary" not in told.out + told.err


def test_a_surprise_leaves_its_words_in_a_private_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def surprise() -> None:
        raise ValueError("canary@example.org")

    assert guarded(surprise) == 1
    assert "canary" not in capsys.readouterr().err
    [trace] = (tmp_path / "home" / "logs").iterdir()
    assert "canary@example.org" in trace.read_text("utf-8")


# --- declaring --------------------------------------------------------------------------------------------------------


def declared(
    home: Home, source: dict[str, Any], taken: dict[str, Path] | None = None, **wishes: Any
) -> tuple[str, Any]:
    spec, file = declare(source, None, Wishes(**wishes), taken or {}, home)
    return spec.name, pyyaml.safe_load(file.read_text("utf-8"))["attributes"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/Sales Q1-2026.csv.gz", "sales_q1_2026"),
        ("/data/2026.parquet", "data_2026"),
        ("/data/*.csv", "data"),
        ("/data/😀.csv", "data"),
        ("s3://bucket/visits.jsonl.zst", "visits"),
        ("/data/" + "x" * 100 + ".csv", "x" * 63),
    ],
)
def test_a_files_name_becomes_the_datasets(path: str, name: str, home: Home) -> None:
    assert declared(home, {"type": "file", "path": path})[0] == name


def test_two_sources_of_one_name_stay_two_datasets(home: Home) -> None:
    taken: dict[str, Path] = {}
    for path, name in (("/a/x.csv", "x"), ("/b/x.csv", "x_2"), ("/a/x.csv", "x"), ("/b/x.csv", "x_2")):
        found, file = declare({"type": "file", "path": path}, None, Wishes(), taken, home)
        taken[found.name] = file
        assert found.name == name


def test_two_first_runs_at_once_take_two_names(home: Home) -> None:
    def first(path: str) -> tuple[str, str]:
        spec, _ = declare({"type": "file", "path": path}, None, Wishes(), {}, home)  # neither has seen the other
        return spec.name, spec.source.model_dump()["path"]

    paths = [f"/{folder}/customers.csv" for folder in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(first, paths))
    assert set(found) == {"customers", "customers_2", "customers_3", "customers_4"}
    assert set(found.values()) == set(paths)
    for name, path in found.items():
        assert yaml.load_spec(home.definitions / name / "defs.yaml").source.model_dump()["path"] == path


def test_a_projects_own_dataset_is_never_overwritten(home: Home, tmp_path: Path) -> None:
    taken = {"x": tmp_path / "project" / "defs.yaml"}
    assert declare({"type": "file", "path": "/a/x.csv"}, None, Wishes(), taken, home)[0].name == "x_2"
    with pytest.raises(SpecError, match="is declared in"):
        declare({"type": "file", "path": "/a/x.csv"}, "x", Wishes(), taken, home)


def test_wishes_are_typed_by_yaml(home: Home) -> None:
    sets = ("generator.min_leaf=30", "schedule.cron='0 3 * * *'", "columns.age.roles=[target]", "source.delimiter=;")
    _, found = declared(home, {"type": "file", "path": "/a.csv"}, rows=10, seed=3, policy="public", sets=sets)
    assert found["generator"] == {"min_leaf": 30, "type": "trees"}
    assert found["schedule"] == {"cron": "0 3 * * *"}
    assert found["columns"] == {"age": {"roles": ["target"]}}
    assert (found["generation"], found["seed"], found["validation"]) == ({"rows": 10}, 3, {"policy": "public"})
    assert found["source"]["delimiter"] == ";"


def test_a_password_is_never_written(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTH_VISITS_PASSWORD", raising=False)
    spec, file = declare(
        source_of("postgresql://ada:s%3Acret@db:5432/clinic", "visits", None), None, Wishes(), {}, home
    )
    text = file.read_text("utf-8")
    assert "cret" not in text
    assert "{{ env('SYNTH_VISITS_PASSWORD') }}" in text
    assert os.environ["SYNTH_VISITS_PASSWORD"] == "s%3Acret"
    assert spec.name == "visits"
    assert spec.source.model_dump()["url"] == "postgresql://ada:s%3Acret@db:5432/clinic"  # what runs has it


UNCLEAR = [
    "postgresql://ada:cana/ry@db/clinic",
    "postgresql://ada:cana#ry@db/clinic",
    "postgresql://ada:cana?ry@db/clinic",
    "postgresql://ada:cana@ry@db/clinic",
    "postgresql://ada:1/canary@db/clinic",
    "postgresql://ada:canary",
    "postgres://ada@db/clinic?password=canary",
    "postgresql://ada@db/clinic?sslmode=require&PASSWORD=canary",
    "postgresql://ada@db/clinic?p%61ssword=canary",
    "postgresql://ada@db/clinic?sslpassword=canary",
]


@pytest.mark.parametrize("url", UNCLEAR)
def test_a_password_that_cannot_be_told_apart_is_refused_and_not_repeated(
    url: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["run", url], ["init", "visits", "--from", url]):
        monkeypatch.setattr(sys, "argv", ["synth", *command, "--table", "visits", "--json"])
        assert guarded(app) == 2
        told = capsys.readouterr()
        assert "PGPASSWORD" in told.err
        assert "cana" not in told.err + told.out
    assert not any("cana" in file.read_text("utf-8") for file in home.root.rglob("*.yaml"))
    with pytest.raises(SpecError, match="told apart"):  # past the command line's own check
        declare({"type": "sql", "url": url, "table": "visits"}, None, Wishes(), {}, home)


@pytest.mark.parametrize(
    ("uri", "password"),
    [
        ("postgresql://ada:p%40ss@db:5432,other:5433/clinic?passfile=/x", "p%40ss"),
        ("postgresql://ada@[::1]:5432/clinic", None),
        ("postgresql:///clinic?host=/run/postgresql", None),
        ("sqlite:////data/a:b@c.db", None),
        ("ftp://ada:secret@host/x@1.csv", "secret"),
        ("s3://bucket/a@b:c.csv", None),
        ("https://host:8080/a@2x.csv?sig=1", None),
        ("zip://a.csv::https://host:80/b.zip", None),
        ("/data/a:b@c.csv", None),
    ],
)
def test_passwords_are_told_apart(uri: str, password: str | None) -> None:
    found = split_password(uri)
    assert (found[1] if found else None) == password
    assert found is None or "".join(found) == uri


def test_a_password_of_a_file_is_not_written_either(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTH_X_PASSWORD", raising=False)
    _, found = declared(home, source_of("ftp://ada:secret@host/x.csv", None, None))
    assert found["source"]["path"] == "ftp://ada:{{ env('SYNTH_X_PASSWORD') }}@host/x.csv"
    with pytest.raises(SpecError, match="holdout file holds a password"):
        declared(home, {"type": "file", "path": "/x.csv"}, holdout="ftp://ada:secret@host/x.csv")
    with pytest.raises(SpecError, match="holds a password") as raised:
        source_of("zip://a.csv::https://ada:secret@host/b.zip", None, None)
    assert "secret" not in str(raised.value)


def test_a_path_that_looks_like_a_template_stays_a_path(home: Home) -> None:
    _, found = declared(home, {"type": "file", "path": "/data/{{ 7*7 }}.csv"})
    assert found["source"]["path"] == '{{ "/data/{{ 7*7 }}.csv" }}'


def test_plain_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain() as lines:
        for done in range(0, 100_000, 100):
            lines(Tick("generate", done, 100_000))
        lines(Tick("generate", 100_000, 100_000, note="done"))
    assert capsys.readouterr().err.splitlines() == ["generate   100,000 rows  done"]
