"""Which earlier run a command goes on with: that of the same command, where there is something left to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import ListConfig, OmegaConf

from wsvs.core import runs

# Of stage retrieve: how videos are asked for, and how many of them. A run goes on with others of these.
MANNERS = ("pause", "rate", "timeout", "backoff", "retries", "streak", "retry", "yt_dlp", "javascript")
BUDGETS = ("max_videos", "max_bytes", "max_hours")


def continues(directory: Path, stage: str, said: Sequence[str], before: Sequence[str]) -> bool:
    """Whether a command with the overrides `said` goes on with a run that was started with those `before`."""
    if _without(said, stage, (*MANNERS, *BUDGETS)) != _without(before, stage, (*MANNERS, *BUDGETS)):
        return False
    return not (directory / runs.SUMMARY).exists() or (stage == "retrieve" and _reopens(directory, said, before))


def _reopens(directory: Path, said: Sequence[str], before: Sequence[str]) -> bool:
    """Has a finished retrieval something to try again: what failed for now, what its budget left, what is asked for?"""
    failures = runs.read_summary(directory)["counts"].get("failures", {})
    asked = any(word.lstrip("+").startswith("retrieve.retry=") and not word.endswith(("=null", "=[]")) for word in said)
    more = _without(said, "retrieve", MANNERS) != _without(before, "retrieve", MANNERS)
    return asked or "later" in failures or ("budget" in failures and more)


def _without(words: Sequence[str], stage: str, keys: Sequence[str]) -> list[str]:
    """Overrides without those of some keys of stage retrieve."""
    left_out = tuple(f"retrieve.{key}{end}" for key in keys for end in "=.")
    return [word for word in words if stage != "retrieve" or not word.lstrip("+").startswith(left_out)]


def is_task_override(word: str) -> bool:
    return ("=" in word or word.startswith("~")) and not word.startswith(("-", "hydra"))


def overrides_of(path: Path) -> list[str]:
    """What an earlier command wrote down of its overrides, sorted; nothing where a full disk left a stump."""
    try:
        words = OmegaConf.load(path)
        return sorted(str(word) for word in words) if isinstance(words, ListConfig) else []
    except Exception:  # of yaml, mostly, which is not ours to import
        return []
