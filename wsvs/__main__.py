"""The one entry point: `wsvs stage=<name> key=value ...`."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsvs.config.files import config_dir
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error
from wsvs.core.stopping import catch_signals, leave, number, stop_in
from wsvs.stages import ALL_STAGES, _status, load_stage
from wsvs.stages._status import MISTAKE, PASSED_OVER

INFORMING = ("--help", "-h", "--hydra-help", "--info", "-i", "--version")
COMPLETION = ("--shell-completion", "-sc")


def usage() -> str:
    lines = [
        "wsvs stage=<name> key=value ...      (--cfg job shows the configuration and runs nothing)",
        'eval "$(wsvs -sc install=bash)"      (the tab key then completes stages, settings and values)', "", "stages:",
    ]
    for name in ALL_STAGES:
        lines.append(f"  {name:<10} {_summary_of(name)}")
    return "\n".join(lines)


def _summary_of(stage: str) -> str:
    """First line of a stage's docstring, read without importing it (torch takes seconds)."""
    import ast

    source = (Path(__file__).parent / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(source)) or ""
    return doc.splitlines()[0].partition(": ")[2]


def print_help(stage: str) -> None:
    """What a stage does and its settings, with defaults, ranges and units."""
    from rich.table import Column, Table

    from wsvs.config.help import rows
    from wsvs.core.console import plain_console

    print(f"wsvs stage={stage} key=value ...\n\n{_summary_of(stage)}\n")
    table = Table(*(Column(name, overflow="fold") for name in ("setting", "default", "values", "meaning")), box=None)
    common = ("name", "out", "seed", "resume", "plugins", "inputs")
    for name in dict.fromkeys((*_sections_of(stage), *common)):
        for row in rows(name):
            values = f"{row.values}; {row.unit}" if row.unit else row.values
            table.add_row(row.key, row.default, values, row.help)
    plain_console().print(table)


def _sections_of(stage: str) -> tuple[str, ...]:
    """The sections of settings that a stage reads, without importing it."""
    import ast

    source = (Path(__file__).parent / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assigned = (node for node in ast.parse(source).body if isinstance(node, ast.Assign | ast.AnnAssign))
    value = next(node.value for node in assigned if "SECTIONS" in ast.unparse(node).partition("=")[0])
    return tuple(ast.literal_eval(ast.unparse(value))) if value is not None else ()


def register_resolvers() -> None:
    from omegaconf import OmegaConf

    from wsvs.config.store import register
    from wsvs.stages._run import resolve_run_id
    from wsvs.stages._sweep import trial_number

    register()
    OmegaConf.register_new_resolver("run_id", resolve_run_id, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("trial", trial_number, replace=True)
    OmegaConf.register_new_resolver("run_dir", lambda: os.environ.get("WSVS_RUN_DIR", "outputs"), replace=True)


def run_stage(cfg) -> float | None:
    """Run the stage of a composed configuration: the one job of a command, or one of the jobs of a sweep.

    Returns the figure that a search for settings goes by (`objective`), if the stage has one.
    """
    from wsvs.stages import _job

    if _job.is_apart():
        return _job.run_apart(_config_options())
    try:
        with _job.recorded() as outcome, _told():
            name, value = _run_stage(cfg)
            outcome |= {"objective": name, "value": value}
            return value
    except UserError as told:
        # The sweep's process has to hear of a job in a process of its own, and a search of every job that failed.
        if not _status.counts_here() or (_job.searches() and cfg.trainer.devices == 1):
            raise
        _status.complain(told)  # said here, once: Hydra would put its own words around it
        if cfg.trainer.devices != 1:  # its other ranks are left in disorder: no further job of a sweep beside them
            sys.exit(_status.overall())
    return None


@contextmanager
def _told() -> Iterator[None]:
    """What the user can correct becomes a `UserError`."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        told = _mistake(error)
        if told is None:
            raise
        raise told from None


def _config_options() -> list[str]:
    """The options of this process's job that say where its configuration comes from."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    found = {source.provider: source.path for source in hydra.runtime.config_sources}
    options = ["--config-name", str(hydra.job.config_name)]
    if found["main"] != str(config_dir()):
        options += ["--config-path", found["main"]]
    if "command-line" in found:
        options += ["--config-dir", found["command-line"]]
    return options


def _run_stage(cfg) -> tuple[str | None, float | None]:
    """The figure that a search goes by, and its value."""
    from hydra.core.hydra_config import HydraConfig

    from wsvs.config.check import check
    from wsvs.core.plugins import load_plugins

    _log_to_stdout()  # a launcher's process has not come through main()
    check(cfg, HydraConfig.get().overrides.task)  # before torch and Lightning are imported, which takes seconds
    from wsvs.stages._lightning import sow
    from wsvs.stages._objective import objective, objective_name
    from wsvs.stages._run import Run
    from wsvs.stages._wandb import tracked

    module = load_stage(cfg.stage)
    sought = objective_name(cfg, module)
    run = Run(cfg, main)
    with run.opened(module), tracked(run):
        load_plugins(cfg.plugins)
        sow(cfg)
        module.run(run)
    if run.skipped:
        _status.add(PASSED_OVER)
    return sought, objective(run, sought)


def _mistake(error: Exception) -> UserError | None:
    """What of an error is the user's to mend. None where something broke: its trace is wanted.

    A file that is no text, no JSON, or a matrix without an inverse are kinds of `ValueError` too, and no settings.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return error
    if type(error) in (ValueError, TypeError):
        return _refused_setting(error)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    cause = error.__cause__  # what a constructor raised that Hydra called
    exact = type(cause) in (ValueError, TypeError) or isinstance(cause, OmegaConfBaseException)
    return None if isinstance(cause, ValueError | TypeError) and not exact else explain_config_error(error)


def _refused_setting(error: Exception) -> UserError | None:
    """A setting that our own code refuses by a raise, or that a constructor cannot even compare; None for all else."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    if not Path(at.filename).is_relative_to(Path(__file__).parent):
        return None
    line, text = at.line or "", str(error)
    if isinstance(error, TypeError) and at.name in ("__init__", "__post_init__"):
        text = f"a setting is of the wrong type, at {line!r}: {text}"
    elif not line.startswith("raise "):
        return None
    return explain_config_error(ValueError(text))


class _Stdout(logging.StreamHandler):
    """Where print() of this process goes, which is above a progress bar; a forked worker knows of no bar."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._plain, self._process = sys.stdout, os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout if os.getpid() == self._process else self._plain
        super().emit(record)


def _log_to_stdout() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Stdout()])
    logging.raiseExceptions = False  # a log that cannot be written must not bury the message that says why


def main() -> None:
    """Console entry.

    Exit status: 0 done, 1 unexpected error, 2 a mistake to mend, 3 done with items passed over, 130 stopped by Ctrl-C,
    143 by SIGTERM.
    """
    arguments = sys.argv[1:] = options_first(sys.argv[1:])
    if not any(word.startswith("stage=") for word in arguments) and {"--help", "-h"} & set(arguments):
        print(usage())  # Hydra's own help wants to show a configuration, and there is none without a stage
        sys.exit()
    if {"--help", "-h"} & set(arguments):
        stage = next(word.partition("=")[2] for word in arguments if word.startswith("stage="))
        if stage in ALL_STAGES:
            print_help(stage)
            sys.exit()
    informs = any(word.startswith((*INFORMING, *COMPLETION)) for word in arguments)
    if not informs and not any(word.startswith("stage=") for word in arguments):
        print(usage(), file=sys.stderr)
        sys.exit(MISTAKE)
    if any(word.startswith(COMPLETION) for word in arguments):
        _complete()
    from wsvs.stages import _job

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra must not hide where an unexpected error came from
    _log_to_stdout()
    _status.begin()
    _job.begin()
    catch_signals()
    said = ""
    try:
        _run_jobs()
        status = _status.overall()
    except BaseException as error:
        stop = stop_in(error)
        if stop is not None:
            said, status = "\nstopped; the same command goes on from here", 128 + number(stop)
        elif isinstance(error, SystemExit) and isinstance(error.code, int):
            status = error.code
        else:
            raise
    leave(status, said)


def _complete() -> None:
    """Answer a shell that completes a word; nothing that takes seconds to import, and no stage is needed."""
    import hydra

    from wsvs.config.store import register

    register()
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(run_stage)()
    sys.exit()


def _run_jobs() -> None:
    """All that the command line asks for; mistakes are told."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from wsvs.stages import _sweep

    register_resolvers()
    application = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(run_stage)
    try:
        application()
    except UserError as error:
        _status.complain(error)
    except (HydraException, OmegaConfBaseException) as error:
        _status.complain(explain_config_error(error))
    except OSError as error:  # Hydra's own files in the run directory
        explained = explain_os_error(error, error.filename or "the run directory")
        if not isinstance(explained, UserError):
            raise
        _status.complain(explained)
    except ValueError as error:
        refused = _sweep.explain(error)
        if refused is None:
            raise
        _status.complain(refused)
    finally:
        _sweep.release()


def options_first(words: list[str]) -> list[str]:
    """Hydra wants its options in one piece; here they may stand anywhere among the overrides."""
    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    return [word for word in words if word not in overrides] + overrides


def explain_config_error(error: Exception) -> UserError:
    """Hydra's message without its stack trace; also for a setting that a constructor refuses."""
    if isinstance(error, UserError):
        return error
    cause, within = error.__cause__, error.__context__
    while within and type(within).__name__ == "InterpolationResolutionError":  # what a resolver raised is wrapped twice
        within = within.__context__
    for told in (cause, within):
        if isinstance(told, UserError):
            return told
    if override := getattr(error, "override", None):  # of Hydra's OverrideParseException
        return _unreadable_override(override)
    file = str(getattr(error, "missing_cfg_file", None) or "")  # of Hydra's MissingConfigException
    if re.fullmatch(r"hydra/(launcher/(joblib|submitit_\w+|slurm)|sweeper/(optuna|sampler/\w+))", file):
        from wsvs.core.extras import missing

        return missing(f"Hydra's plugin for {file}", "sweeps", file)
    # Lightning's refusals are of a type of its own, in a package that takes seconds to import.
    refused = isinstance(cause, ValueError | TypeError) or type(cause).__name__ == "MisconfigurationException"
    text = str(cause) if refused else str(error)
    remedy = "wsvs stage=<name> --cfg job shows every key and value; group files are in conf/"
    unknown = re.match(r"Could not override '([^']+)'\.\s+To append", text)
    if unknown:  # and to append, which Hydra proposes, would do nothing but to a mapping
        from wsvs.config.check import all_keys, nearest

        if unknown[1] in all_keys():
            text, remedy = f"{unknown[1]} does not have all these entries yet", f"add them: +{unknown[1]}={{...}}"
        else:
            text, near = f"there is no setting {unknown[1]}", nearest(unknown[1])
            remedy = f"did you mean {near}? {remedy}" if near else remedy
    return UserError(text.strip(), where="the configuration or its overrides", remedy=remedy)


def _unreadable_override(word: str) -> UserError:
    """A word that Hydra's grammar does not take, such as the name of a file: how to write it."""
    from wsvs.core.console import for_shell
    from wsvs.stages._next import quote

    key, said, value = word.partition("=")
    remedy = "a value with spaces wants quotes within quotes: 'input=\"my cat (1).jpg\"'"
    if said and re.fullmatch(r"[\w./@+~-]+", key):
        remedy = f"if its value is one text, write {for_shell(f'{key}={quote(value)}')} ; a list is {key}=[a,b]"
    return UserError(f"cannot read {word!r}", where="the command line", remedy=remedy)


if __name__ == "__main__":
    main()
