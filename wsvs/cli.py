"""The entry point: `wsvs stage=<name> key=value ...`. Imports are deferred until they are needed."""

from __future__ import annotations

import ast
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

INFORMING = ("--help", "-h", "--hydra-help", "--info", "-i", "--version")
COMPLETION = ("--shell-completion", "-sc")


def usage() -> str:
    from wsvs.engine.names import stage_names

    lines = [
        "wsvs stage=<name> key=value ...      (--cfg job shows the configuration and runs nothing)",
        'eval "$(wsvs -sc install=bash)"      (the tab key then completes stages, settings and values)',
        "",
        "stages:",
    ]
    for name in stage_names():
        lines.append(f"  {name:<10} {_summary_of(name)}".rstrip())
    return "\n".join(lines)


def _summary_of(stage: str) -> str:
    """First line of a stage's docstring, read without importing it; empty for stages of other packages."""
    source = Path(__file__).parent / "stages" / f"{stage}.py"
    doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source.is_file() else None
    return (doc or "").partition("\n")[0].partition(": ")[2]


def print_help(stage: str) -> None:
    """Print what a stage does, and its settings with defaults, ranges and units."""
    from rich.table import Column, Table

    from wsvs.config.help import rows
    from wsvs.core.console import plain_console
    from wsvs.engine.registry import load_stage

    print(f"wsvs stage={stage} key=value ...\n\n{_summary_of(stage)}".rstrip() + "\n")
    table = Table(*(Column(name, overflow="fold") for name in ("setting", "default", "values", "meaning")), box=None)
    common = ("name", "out", "seed", "resume", "plugins", "inputs")
    for name in dict.fromkeys((*load_stage(stage).keys, *common)):
        for row in rows(name):
            values = f"{row.values}; {row.unit}" if row.unit else row.values
            table.add_row(row.key, row.default, values, row.help)
    plain_console().print(table)


def show_and_leave(show: Callable[[], None]) -> NoReturn:
    """Print, and end quietly where the reader has gone, as in `wsvs --help | head`."""
    try:
        show()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own flush at the end fails as well
    sys.exit()


def main() -> None:
    """Console entry; `wsvs.engine.command.main` has the exit statuses."""
    gc.set_threshold(10_000, 10, 10)  # a tenth of a start was the search for garbage in what the imports make
    words = sys.argv[1:]
    stage = next((word.partition("=")[2] for word in words if word.startswith("stage=")), None)
    if {"--help", "-h"} & set(words):  # Hydra's own help shows a configuration, which needs a stage
        if stage is None:
            show_and_leave(lambda: print(usage()))
        from wsvs.core.errors import UserError
        from wsvs.engine import status
        from wsvs.engine.explain import user_errors
        from wsvs.engine.names import stage_names
        from wsvs.engine.registry import register_stages

        try:
            with user_errors():
                register_stages()
        except UserError as error:
            status.complain(error)
            sys.exit(status.overall())
        if stage in stage_names():
            show_and_leave(partial(print_help, stage))
    if stage is None and not any(word.startswith((*INFORMING, *COMPLETION)) for word in words):
        print(usage(), file=sys.stderr)
        sys.exit(2)
    if any(word.startswith(COMPLETION) for word in words):
        _complete()
    from wsvs.engine import command

    command.main()


def _complete() -> NoReturn:
    """Answer the shell's request for completions."""
    import hydra

    from wsvs.config.files import config_dir
    from wsvs.config.store import register
    from wsvs.engine.names import register_choices

    register_choices()
    register()
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(lambda cfg: None)()
    sys.exit()
