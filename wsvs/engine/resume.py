"""Which earlier run a command resumes: the latest unfinished one of the same command."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from wsvs.config.check import text_of
from wsvs.core import runs
from wsvs.core.errors import UserError
from wsvs.core.reviews import Reviews
from wsvs.core.shards import SET, Shard
from wsvs.core.sweeps import unfinished
from wsvs.engine.job import is_sweep
from wsvs.engine.lock import is_locked

# Settings of stage retrieve for requests and for the number of videos. A run resumes with other values of these.
REQUEST_OPTIONS = ("pause", "rate", "timeout", "backoff", "retries", "streak", "retry", "yt_dlp", "javascript")
BUDGETS = ("max_videos", "max_bytes", "max_hours")
# Settings that change no result. `dirpath` and `every` belong to callbacks: the checkpoint folder, progress intervals.
LOGGING = ("log_every_n_steps", "enable_model_summary", "profiler", "every")
RESULT_NEUTRAL = ("workers", "solver", "dirpath", "shard", "reuse", *LOGGING, *REQUEST_OPTIONS)
# Settings added to a section later, with the value that changes nothing: earlier runs keep their fingerprint.
LATER = {
    "decoder.accepted_weight": 1.0,
    "adapt.accepted_weight": 1.0,
    "adapt.corrected": None,
    "adapt.corrected_format": "masks",
    "adapt.corrected_share": 0.25,
    "segment.instances": False,
    "segment.store": "files",
}


def continues(directory: Path, stage: str, said: Sequence[str], before: Sequence[str]) -> bool:
    """Whether a command with the overrides `said` resumes a run that was started with the overrides `before`."""
    if _without(said, stage, (*REQUEST_OPTIONS, *BUDGETS)) != _without(before, stage, (*REQUEST_OPTIONS, *BUDGETS)):
        return False
    return not (directory / runs.SUMMARY).exists() or (stage == "retrieve" and _reopens(directory, said, before))


def _reopens(directory: Path, said: Sequence[str], before: Sequence[str]) -> bool:
    """Whether a finished retrieval can continue: temporary failures, a larger budget, or retrieve.retry."""
    counted = runs.read_summary(directory).counts.get("failures")
    failures = counted if isinstance(counted, Mapping) else {}
    asked = any(word.lstrip("+").startswith("retrieve.retry=") and not word.endswith(("=null", "=[]")) for word in said)
    more = _without(said, "retrieve", REQUEST_OPTIONS) != _without(before, "retrieve", REQUEST_OPTIONS)
    return asked or "later" in failures or ("budget" in failures and more)


def _without(words: Sequence[str], stage: str, keys: Sequence[str]) -> list[str]:
    """Overrides without some settings of stage retrieve."""
    left_out = tuple(f"retrieve.{key}{end}" for key in keys for end in "=.")
    return [word for word in words if stage != "retrieve" or not word.lstrip("+").startswith(left_out)]


def is_task_override(word: str) -> bool:
    return ("=" in word or word.startswith("~")) and not word.startswith(("-", "hydra"))


def overrides_of(path: Path) -> list[str]:
    """The sorted overrides that an earlier command recorded; empty if the file is damaged, as by a full disk."""
    try:
        words = OmegaConf.load(path)
        return sorted(str(word) for word in words) if isinstance(words, ListConfig) else []
    except Exception:  # mostly of yaml, which is not a direct dependency
        return []


def fingerprint(
    cfg: DictConfig,
    keys: Sequence[str],
    inputs: Mapping[str, Path],
    without: Sequence[str] = (),
    reviews: Reviews | None = None,
) -> str:
    """Digest of all that determines a stage's result: the settings it reads, the seed, its inputs, the review."""
    sections: dict[str, Any] = {}
    for key in (*keys, "seed"):
        value = OmegaConf.select(cfg, key)  # a section or a single setting
        sections[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    sections = _left(sections, (*RESULT_NEUTRAL, *without))
    for key, unchanged in LATER.items():
        section, _, name = key.partition(".")
        if section in sections and sections[section].get(name) == unchanged:
            del sections[section][name]
    parts = [sections, {k: str(v) for k, v in inputs.items()}]
    if reviews and reviews.asdict():
        parts.append(reviews.asdict())
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _left(value: Any, keys: Sequence[str]) -> Any:
    """Nested dicts without some keys."""
    return {k: _left(v, keys) for k, v in value.items() if k not in keys} if isinstance(value, dict) else value


def _shard_id(shard: Shard, resume: bool) -> str:
    """WSVS_RUN_ID names the set of shards; the number of a scheduler's job does not, since each shard has its own."""
    if not resume and not os.environ.get("WSVS_RUN_ID"):
        raise UserError(
            "a shard cannot tell whether the others start again too",
            where="resume=false",
            remedy="leave it out to resume, or give all jobs of a new set of shards the same WSVS_RUN_ID=<word>",
        )
    os.environ["WSVS_RUN_ID"] = os.environ.get("WSVS_RUN_ID") or SET
    return f"{runs.run_id().partition('/')[0]}/{shard.folder}"


def resolve_run_id(out: str, name: str, stage: str, resume: bool, shard: str | None = None) -> str:
    """Id of this run: from the environment, else the unfinished run of the same command, else a new one.

    Of a shard <id>/<i>-of-<n>, which does not depend on the job that works on it.
    """
    home = Path(runs.check_out(text_of("out", out)), runs.check_folder_name("name", text_of("name", name)), stage)
    if shard is not None:
        return _shard_id(Shard.parse(f"{stage}.shard", shard), resume)
    if resume and not any(os.environ.get(v) for v in ("WSVS_RUN_ID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")):
        said = sorted(word for word in sys.argv[1:] if is_task_override(word))
        begun = [(path.parents[1], overrides_of(path)) for path in home.glob("*/.hydra/overrides.yaml")]
        for directory, words in sorted(unfinished(home) if is_sweep(sys.argv) else begun, reverse=True):
            if continues(directory, stage, said, words) and not is_locked(directory):
                os.environ["WSVS_RUN_ID"] = directory.name
                break
    return runs.run_id()
