"""`synth`: the command line. Each command's own module is imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from synth_pipeline.errors import SynthError

COMMANDS = {
    "run": "synth_pipeline.cli.run:run",
    "init": "synth_pipeline.cli.init:init",
    "score": "synth_pipeline.cli.score:score",
    "audit": "synth_pipeline.cli.audit:audit",
    "list": "synth_pipeline.cli.releases:list_",
    "show": "synth_pipeline.cli.releases:show",
    "compare": "synth_pipeline.cli.releases:compare",
    "verify": "synth_pipeline.cli.releases:verify",
    "lineage": "synth_pipeline.cli.releases:lineage",
    "retract": "synth_pipeline.cli.releases:retract",
    "forget": "synth_pipeline.cli.releases:forget",
    "gc": "synth_pipeline.cli.releases:gc",
    "ui": "synth_pipeline.cli.ui:ui",
    "doctor": "synth_pipeline.cli.doctor:doctor",
}
"""Command → "module:function", in the order of the help."""


class Commands(TyperGroup):
    """Finds a command by importing its module."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        app = typer.Typer(add_completion=False)
        app.command(cmd_name)(getattr(importlib.import_module(module), function))
        return typer.main.get_command(app)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its frames would show local variables, which may hold rows
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def synth() -> None:
    """One file or one YAML becomes a published, private, measured, traceable synthetic dataset.

    Exit codes: 0 done, 1 failed, 2 wrong usage or YAML, 3 not published: a gate, contract or scan said no.
    """


def main() -> None:
    sys.exit(guarded(app))


def guarded(command: Callable[[], Any]) -> int:
    """Runs a command; errors become a message on stderr and an exit code, never a trace."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except SynthError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted; what was committed stays, run again to go on from there")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - its message may quote data: it goes to a private file
        from synth_pipeline.records.home import Home
        from synth_pipeline.records.traces import write_trace

        _say(f"failed unexpectedly: {type(error).__name__}\n  details: {write_trace(error, Home.find(), 'synth')}")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
