"""Putting a code location together: every dataset that loads, and a placeholder for each that does not."""

import importlib
import logging
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import dagster as dg

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.orchestration.component import SyntheticDataset, placeholder
from synth_pipeline.records.home import Home, project_root
from synth_pipeline.spec import yaml

log = logging.getLogger("synth_pipeline")


@dg.definitions
def _nothing() -> dg.Definitions:
    return dg.Definitions()


_Lazy = type(_nothing)
"""What `@dg.definitions` makes; Dagster does not export the class."""


@dataclass(frozen=True)
class Project:
    """Where the datasets of the project around the working directory are declared."""

    root: Path
    module: str = "synth_pipeline.defs"
    configured: bool = False

    @classmethod
    def find(cls) -> "Project":
        """The nearest Dagster project that uses this package; without one, the datasets of the package itself."""
        here = Path(__file__).parent
        root = project_root() or project_root(here)
        if root is None:
            return cls(Path.cwd())
        told = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["dg"].get("project", {})
        module = told.get("defs_module") or f"{told.get('root_module', 'synth_pipeline')}.defs"
        return cls(root, module, configured=True)

    @property
    def folder(self) -> Path:
        if not self.configured:
            return Path(__file__).parents[1] / "defs"
        inside = Path(*self.module.split("."))
        return next((path for base in ("src", ".") if (path := self.root / base / inside).is_dir()), self.root / inside)

    def files(self) -> list[Path]:
        return _files(self.folder)

    def load(self) -> dg.Definitions:
        """All of it, as `dg` loads it."""
        if self.configured:
            return dg.load_from_defs_folder(path_within_project=self.root)
        module = importlib.import_module(self.module)
        return dg.ComponentTree.from_module(defs_module=module, project_root=self.root).build_defs()


def code_location() -> dg.Definitions:
    """This project's `defs/` and SYNTH_HOME's, less what cannot be loaded."""
    with _quietly():
        known = declared()
        own = (file for file in _files(_home_defs()) if not _shadowed(file, known))
        return _merged([*_project_parts(), *(_leaf(file) for file in own)])


def declared() -> dict[str, Path]:
    """Name → file of every dataset that can be run by its name; a project's own come before SYNTH_HOME's."""
    found: dict[str, Path] = {}
    for files in (Project.find().files(), _files(_home_defs())):
        for file in files:
            for name in _names(file):
                found.setdefault(name, file)
    return found


def _names(file: Path) -> list[str]:
    """The datasets that a file declares; a wrong one its folder's name: running it tells what is wrong."""
    try:
        documents = yaml.documents(file)
    except SpecError:
        return [file.parent.name]
    return [
        str(document.attributes.get("name", file.parent.name))
        for document in documents
        if document.type.startswith("synth_pipeline.") and isinstance(document.attributes, dict)
    ]


def _shadowed(file: Path, known: Mapping[str, Path]) -> bool:
    """Whether what `synth run FILE` has declared in SYNTH_HOME has become a dataset of the project by the same name."""
    return _names(file) == [file.parent.name] and known[file.parent.name] != file


def dataset(name: str) -> SyntheticDataset:
    """A declared dataset by its name.

    Raises:
        SpecError: there is none, or its YAML is wrong.
    """
    known = declared()
    if name not in known:
        raise SpecError(f'no dataset and no file "{name}"; {did_you_mean(name, known)}'.rstrip("; "))
    return load(known[name], name)


def load(file: Path, name: str) -> SyntheticDataset:
    """A dataset from its file, as the code location loads it.

    Raises:
        SpecError: the YAML is wrong.
    """
    yaml.documents(file)
    with _quietly():
        components = _tree(file.parent).get_all_components(of_type=SyntheticDataset)
    for component in components:
        if component.label == name:
            if component.problem:
                raise SpecError(component.problem)
            return component
    raise SpecError(f'declares no dataset "{name}"', where=str(file))


# --- parts ------------------------------------------------------------------------------------------------------------

Part = tuple[str, dg.Definitions]
"""A label and what it defines."""


def _project_parts() -> Iterator[Part]:
    """The project's folder as one Dagster tree; file by file when Dagster could not load it whole."""
    project = Project.find()
    try:
        for file in project.files():
            yaml.documents(file)
        whole = project.load()
        if len(set(_keys(whole))) < len(_keys(whole)):
            raise SpecError("two datasets have the same name")
    except Exception as error:  # noqa: BLE001 - one wrong file must not take the others down
        log.warning("loading %s file by file: %s", project.folder, _root(error))
        yield from (_python(project, file) for file in sorted(project.folder.glob("*.py")) if file.stem != "__init__")
        yield from (_leaf(file) for file in project.files())
    else:
        yield project.module, whole


def _python(project: Project, file: Path) -> Part:
    """One Python file of `defs/` by itself."""
    try:
        found = vars(importlib.import_module(f"{project.module}.{file.stem}")).values()
        return file.stem, dg.Definitions.merge(*(value() for value in found if isinstance(value, _Lazy)))
    except Exception as error:  # noqa: BLE001 - as above
        return file.stem, placeholder(file.stem, f"{file}: {_root(error)}")


def _leaf(file: Path) -> Part:
    """One `defs.yaml` by itself."""
    label = file.parent.name
    try:
        yaml.documents(file)
        found = _tree(file.parent).build_defs()
        # a code location has one component tree, the project's: this one stays out
        return label, dg.Definitions(
            assets=found.assets,
            schedules=found.schedules,
            sensors=found.sensors,
            jobs=found.jobs,
            asset_checks=found.asset_checks,
        )
    except Exception as error:  # noqa: BLE001 - as above
        return label, placeholder(label, str(error) if isinstance(error, SpecError) else f"{file}: {_root(error)}")


def _root(error: BaseException) -> str:
    """What began it: Dagster wraps errors in pictures of its tree."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _merged(parts: Iterable[Part]) -> dg.Definitions:
    """All parts; of two that define the same, the later one gives way to a placeholder."""
    kept: list[dg.Definitions] = []
    seen: set[dg.AssetKey] = set()
    for label, part in parts:
        if taken := seen.intersection(_keys(part)):
            clash = min(key.to_user_string() for key in taken)
            part = placeholder(f"{label}_again", f"{label}: {clash} is defined elsewhere too; give it another name")
        seen.update(_keys(part))
        kept.append(part)
    return dg.Definitions.merge(*kept)


def _keys(part: dg.Definitions) -> list[dg.AssetKey]:
    specs = [asset for asset in part.assets or () if isinstance(asset, dg.AssetSpec)]
    made = [asset for asset in part.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return [spec.key for spec in specs] + [key for asset in made for key in asset.keys]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what Dagster says about the maturity of its own parts, which it builds code references with."""
    with warnings.catch_warnings():
        for kind in (dg.PreviewWarning, dg.BetaWarning):
            warnings.simplefilter("ignore", kind)
        yield


def _home_defs() -> Path:
    return Home.find().root / "defs"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("defs.yaml"))


def _tree(folder: Path) -> dg.ComponentTree:
    """A tree of one folder, which need not be a Python package."""
    module = ModuleType(f"declared_{folder.name}")
    module.__file__, module.__path__ = None, [str(folder)]
    return dg.ComponentTree.from_module(defs_module=module, project_root=Project.find().root)
