"""`make bench`: every benchmark in turn, each in a process of its own so that peaks of memory do not mix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = ("trees", "neighbours", "ladder", "generate", "ingest", "orchestration", "sdv")


def main() -> int:
    failed = []
    for name in ORDER:
        if (Path(__file__).parent / f"{name}.py").exists():
            print(f"\n== {name}", flush=True)
            if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
                failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall benchmarks ran")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
