"""`make demo`: materializes the bundled datasets and says where each release and report lies."""

from __future__ import annotations

import json
import subprocess
import sys

_RUNS = (
    ["randhie"],
    ["clinic", "--partition", "2026-09-01"],
    ["clinic", "--partition", "2026-10-01"],
    ["wine"],
)


def main() -> int:
    """0 when every dataset came to the end it is meant to come to: `wine` is too small to be published."""
    lines, strange = [], 0
    for arguments in _RUNS:
        print(f"\n$ synth run {' '.join(arguments)}", file=sys.stderr, flush=True)  # noqa: T201
        command = [sys.executable, "-m", "synth_pipeline.cli.main", "run", *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        expected = 3 if arguments == ["wine"] else 0
        strange += done.returncode != expected
        said = done.stdout.strip().splitlines()
        note = json.loads(said[-1]) if said else {}
        name = " ".join(part for part in arguments if part != "--partition")
        if done.returncode == 0:
            lines.append(
                f"{name}: published {note['version']}\n  release  {note['release']}\n  report   {note['report']}"
            )
        elif done.returncode == 3:
            why = ", ".join(gate["name"] for gate in note.get("gates", ()) if gate["verdict"] != "pass")
            told = "not published, on purpose (too few rows to judge)" if expected == 3 else "not published"
            lines.append(f"{name}: {told}; open: {why}\n  report   {note.get('report')}")
        else:
            lines.append(f"{name}: failed with exit code {done.returncode}, see above")
    print("\n" + "\n".join(lines))  # noqa: T201
    print("\nNext: `make ui` opens Dagster; `.venv/bin/synth run your.csv` does the same for your own table.")  # noqa: T201
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
