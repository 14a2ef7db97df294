"""Mistakes of the user in the words of the command line: which setting, which file, what to type next.

Every mistake is a `UserError`. Code below this layer raises it with a `kind` where the advice depends on the command
line; errors of Hydra and OmegaConf are translated by their type. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wsvs.core.errors import UserError

if TYPE_CHECKING:
    from hydra.errors import InstantiationException

_CONFIG = "wsvs stage=<name> --cfg job shows every key and value; group files are in conf/"

# Kind of a mistake: what to say for `where` and `remedy` instead, with the original texts filled in.
_ADVICE = {
    "unknown backbone": ("model.backbone={where}", "{remedy}; a backbone of your own needs plugins=[its module]"),
    "backbone": ("model.backbone={where}", "{remedy}"),
    "guidance": ("model.guidance={where}", "use model.guidance=features or model.guidance=none"),
    "weights": ("model.weights={where}", "{remedy}, as model.weights"),
    "foreign weights": ("model.weights={where}", "{model}{remedy}"),
    "checkpoint as weights": (
        "model.weights={where}",
        "leave out model.weights and name the run that wrote it, such as inputs.encoder=DIR; stages segment and "
        "predict take the file as segment.checkpoint=FILE and predict.checkpoint=FILE",
    ),
    "checksum missing": ("model.weights={where}", "give model.sha256=<hex digest of the file>"),
    "checksum": ("{where}", "{remedy}, or fix model.sha256"),
    "checksum unused": ("model.sha256", "use model.sha256=null"),
    "no decoder": (
        "{where}",
        "give a checkpoint of stage decoder or adapt (predict.checkpoint=FILE), or use predict.method=attention",
    ),
    "no class thresholds": ("predict.class_threshold=auto", "give predict.class_threshold a number"),
    "unknown flow": ("segment.flow={where}", "{remedy}; an optical flow of your own needs plugins=[its module]"),
    "flow": ("segment.flow", "{remedy}, or use another segment.flow"),
}


def advised(error: UserError) -> UserError:
    """The same mistake with the settings to look at and the words to type, where its kind has any."""
    if error.kind not in _ADVICE:
        return error
    where, remedy = _ADVICE[error.kind]
    owner = getattr(error, "owner", None)
    words = model_words(owner.backbone) if owner else []
    given = {
        "where": error.where or "",
        "remedy": error.remedy or "",
        "model": f"use {' '.join(words)}, or " if words else "",
    }
    return UserError(error.problem, where=where.format_map(given), remedy=remedy.format_map(given))


def model_words(backbone: str) -> list[str]:
    """The overrides that choose a backbone; none for the empty name."""
    if backbone.startswith("timm/"):
        return ["model=timm", f"model.backbone={backbone}"]
    return [f"model={backbone}"] if backbone else []


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn mistakes of the user into `UserError`s worded for the command line; let other exceptions pass."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except UserError as error:
        better = advised(error)
        if better is error:
            raise
        raise better from error
    except (HydraException, OmegaConfBaseException) as error:
        raise explain_config_error(error) from None


def build(node: Any, **more: Any) -> Any:
    """The object that a section of the configuration describes by its `_target_`.

    Raises:
        UserError: Its constructor refuses a value, or there is no such target.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(node, **more, _convert_="all")
    except InstantiationException as error:
        raise _refused(error) from None


def _refused(error: InstantiationException) -> BaseException:
    """The exception that a call of `instantiate` stands for."""
    from omegaconf.errors import OmegaConfBaseException

    cause = error.__cause__
    # Only the exact types: a JSONDecodeError or a LinAlgError is a ValueError too, and a bug.
    # Lightning's refusals have a type of their own, in a package that takes seconds to import.
    refused = type(cause) in (ValueError, TypeError) or type(cause).__name__ == "MisconfigurationException"
    no_target = type(cause) is ImportError  # of the search for `_target_`; a missing package of ours is a UserError
    if cause is None or refused or no_target or isinstance(cause, OmegaConfBaseException):
        return UserError(
            str(cause if refused else error).strip(), where="the configuration or its overrides", remedy=_CONFIG
        )
    return advised(cause) if isinstance(cause, UserError) else cause


def explain_config_error(error: Exception) -> UserError:
    """An error of Hydra or OmegaConf without its stack trace."""
    within = error.__context__
    while within and type(within).__name__ == "InterpolationResolutionError":  # a resolver's error is wrapped twice
        within = within.__context__
    for inner in (error, error.__cause__, within):
        if isinstance(inner, UserError):
            return inner
    if override := getattr(error, "override", None):  # of Hydra's OverrideParseException
        return _unreadable_override(override)
    file = str(getattr(error, "missing_cfg_file", None) or "")  # of Hydra's MissingConfigException
    if re.fullmatch(r"hydra/launcher/(joblib|submitit_\w+|slurm)", file):
        from wsvs.core.extras import missing

        return missing(f"Hydra's plugin for {file}", "sweeps", file)
    if file.startswith("hydra/sweeper/"):
        return UserError(
            f"there is no {file}",
            where="the defaults of a sweep file, or the command line",
            remedy="a search has the line `override /hydra/sweeper: search`, and none for its sampler (docs/sweeps.md)",
        )
    text, remedy = str(error), _CONFIG
    unknown = re.match(r"Could not override '([^']+)'\.\s+To append", text)
    if unknown:  # Hydra proposes to append, which works for mappings only
        from wsvs.config.check import all_keys, nearest

        if unknown[1] in all_keys():
            text, remedy = f"{unknown[1]} does not have all these entries yet", f"add them: +{unknown[1]}={{...}}"
        else:
            text, near = f"there is no setting {unknown[1]}", nearest(unknown[1])
            remedy = f"did you mean {near}? {remedy}" if near else remedy
    return UserError(text.strip(), where="the configuration or its overrides", remedy=remedy)


def _unreadable_override(word: str) -> UserError:
    """A word that Hydra's grammar does not accept, such as the name of a file, and how to write it."""
    from wsvs.core.console import for_shell
    from wsvs.engine.next import quote

    key, said, value = word.partition("=")
    remedy = "a value with spaces needs quotes within quotes: 'input=\"my cat (1).jpg\"'"
    if said and re.fullmatch(r"[\w./@+~-]+", key):
        remedy = f"if the value is one text, write {for_shell(f'{key}={quote(value)}')} ; a list is {key}=[a,b]"
    return UserError(f"cannot read {word!r}", where="the command line", remedy=remedy)
