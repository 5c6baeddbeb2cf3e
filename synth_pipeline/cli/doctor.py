"""`synth doctor`: what this installation is, whether its places are sound, and what its parts' licences ask."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from synth_pipeline.records.home import Home, project_root

_PACKAGES = (
    "synth-pipeline", "dagster", "torch", "diffusers", "transformers", "sdv", "pandas", "pyarrow", "great-expectations",
    "scikit-learn", "numpy", "pydantic", "faker",
)  # fmt: skip
_HARMFUL = ("torchvision", "torchaudio")
NOTICES = {
    "sdv": "BUSL-1.1: using its generators inside your organisation is allowed, offering them to others as a service "
    "is not (each version becomes MIT after four years). Only the generators gaussian_copula, ctgan, tvae and "
    "copulagan use it."
}


def examine(store: str) -> dict[str, Any]:
    """Versions, places and notices; `problems` is empty when all is well."""
    home, problems = Home.find(), []
    versions = {name: _version(name) for name in _PACKAGES}
    problems += [f"{name} is not installed" for name, found in versions.items() if found is None]
    problems += [f"{name} is installed: it breaks diffusers and transformers" for name in _HARMFUL if _version(name)]
    if home.root.exists():
        if home.root.stat().st_mode & 0o077:
            problems.append(f"{home.root} can be read by others: chmod 700 {home.root}")
        key = home.root / "keys" / "master.key"
        if key.exists() and key.stat().st_mode & 0o077:
            problems.append(f"{key} can be read by others: chmod 600 {key}")
    place = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    if not os.access(place, os.W_OK):
        problems.append(f"{place} cannot be written")
    free = shutil.disk_usage(place).free
    if free < 1 << 30:
        problems.append(f"less than 1 GiB is free at {place}")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": versions,
        "project": str(project_root() or ""),
        "home": str(home.root),
        "store": store if "://" in store else str(Path(store).resolve()),
        "free_bytes": free,
        "key": "SYNTH_KEY"
        if os.environ.get("SYNTH_KEY")
        else "stored"
        if (home.root / "keys").exists()
        else "made on first use",
        "licences": NOTICES,
        "problems": problems,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def doctor(
    store: Annotated[str | None, typer.Option(help="Where releases go.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What is installed, where things lie, what licences ask; exit code 1 if something is wrong."""
    from rich.console import Console

    found = examine(store or os.environ.get("SYNTH_STORE", "data/releases"))
    if as_json:
        print(json.dumps(found))  # noqa: T201
    else:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for name, value in found.items():
            if name not in ("packages", "licences", "problems"):
                console.print(f"{name:10} {value}", markup=False)
        packages = ", ".join(f"{name} {number or 'MISSING'}" for name, number in found["packages"].items())
        console.print(f"packages   {packages}", markup=False)
        for name, text in found["licences"].items():
            console.print(f"licence    {name}: {text}", markup=False)
        for problem in found["problems"]:
            console.print(f"problem    {problem}", markup=False, style="bold red")
        if not found["problems"]:
            console.print("all is well", style="green")
    raise typer.Exit(1 if found["problems"] else 0)
