"""A user's mistake in the words of the command line, whoever found it: Hydra, OmegaConf, a constructor, or we."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsvs.core.errors import UserError


@contextmanager
def told() -> Iterator[None]:
    """What the user can correct becomes a `UserError`."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        raise mistake from None


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
    if not Path(at.filename).is_relative_to(Path(__file__).parents[1]):
        return None
    line, text = at.line or "", str(error)
    if isinstance(error, TypeError) and at.name in ("__init__", "__post_init__"):
        text = f"a setting is of the wrong type, at {line!r}: {text}"
    elif not line.startswith("raise "):
        return None
    return explain_config_error(ValueError(text))


def explain_config_error(error: Exception) -> UserError:
    """Hydra's message without its stack trace; also for a setting that a constructor refuses."""
    if isinstance(error, UserError):
        return error
    cause, within = error.__cause__, error.__context__
    while within and type(within).__name__ == "InterpolationResolutionError":  # what a resolver raised is wrapped twice
        within = within.__context__
    for inner in (cause, within):
        if isinstance(inner, UserError):
            return inner
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
    from wsvs.engine.next import quote

    key, said, value = word.partition("=")
    remedy = "a value with spaces wants quotes within quotes: 'input=\"my cat (1).jpg\"'"
    if said and re.fullmatch(r"[\w./@+~-]+", key):
        remedy = f"if its value is one text, write {for_shell(f'{key}={quote(value)}')} ; a list is {key}=[a,b]"
    return UserError(f"cannot read {word!r}", where="the command line", remedy=remedy)
