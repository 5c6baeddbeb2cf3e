"""Checks that the documents tell the truth: links lead somewhere, YAML loads, Python compiles, commands exist.

Run by `make lint`. What cannot be checked by machine (figures) names the command that makes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import ValidationError

from synth_pipeline.cli.main import app
from synth_pipeline.spec.dataset import DatasetSpec

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def problems(page: Path) -> Iterator[str]:
    text = page.read_text("utf-8")
    for target in LINK.findall(FENCE.sub("", text)):
        local = target.split("#")[0]
        if local and "://" not in local and not (page.parent / local).exists():
            yield f"{target}: no such file"
    for language, body in FENCE.findall(text):
        if language == "python":
            try:
                compile(body, str(page), "exec")
            except SyntaxError as error:
                yield f"python example: {error}"
        elif language == "yaml" and "source:" in body and "name:" in body:
            yield from _wrong_spec(body)
        elif language in ("sh", "bash", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                yield from _wrong_command(line)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for target in re.findall(r"`make ([a-z-]+)`", text):
        if target not in targets:
            yield f"make {target}: no such target"


def _wrong_spec(body: str) -> Iterator[str]:
    data = yaml.safe_load(body)
    try:
        DatasetSpec.model_validate(data.get("attributes", data))
    except ValidationError as error:
        yield f"YAML example: {error}"


def _wrong_command(line: str) -> Iterator[str]:
    words = line.removeprefix("$ ").split("#")[0].split()
    if not words or words[0].rpartition("/")[2] != "synth":
        return
    command: Any = typer.main.get_command(app)  # typer brings a click of its own
    for word in words[1:]:
        if not hasattr(command, "get_command"):
            break
        found = command.get_command(None, word)
        if found is None:
            yield f"{line.strip()}: no such command"
            return
        command = found
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in known:
            yield f"{line.strip()}: {word} is no option"


def main() -> int:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "data" / "README.md"]
    found = [f"{page.relative_to(ROOT)}: {problem}" for page in pages for problem in problems(page)]
    print("\n".join(found) if found else f"{len(pages)} pages are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
