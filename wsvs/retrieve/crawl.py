"""The way of section 4: search, look at thumbnails, fetch what passes, keep what is around the best key frames."""

from __future__ import annotations

import io
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.files import explain_os_error, read_json, write_json, write_jsonl
from wsvs.core.progress import EVERY, Meter
from wsvs.retrieve.clips import digest_file
from wsvs.retrieve.examine import DIGITS, Choice, Tools, batches, examine
from wsvs.retrieve.journal import JOURNAL, Journal
from wsvs.retrieve.manifest import MANIFEST, Row, fail, new_row, safe_name, skip
from wsvs.retrieve.source import Candidate, Source, Unwanted

log = logging.getLogger("wsvs")
LARGEST_PICTURE = 50_000_000  # pixels of a thumbnail: a few bytes can unfold to any size


@dataclass(frozen=True)
class Budget:
    """When to fetch no more; None means no limit.

    Args:
        max_videos: Videos fetched.
        max_bytes: Bytes read for thumbnails and videos. The video that goes over it is still finished.
        max_hours: Hours since the run was begun, however often it was stopped.
    """

    max_videos: int | None = None
    max_bytes: float | None = None
    max_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_videos", "max_bytes", "max_hours"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"retrieve.{name} must be at least 0, got {value}")

    def used_up(self, videos: int, count: int, hours: float) -> str | None:
        """Name of the limit that is reached, if one is."""
        for name, spent in (("max_videos", videos), ("max_bytes", count), ("max_hours", hours)):
            limit = getattr(self, name)
            if limit is not None and spent >= limit:
                return name
        return None


class Crawl:
    """One retrieval. Killed at any moment and started again, it ends as if nothing had been.

    Args:
        source: Where the videos come from.
        classes: Names of the classes, in the order of the manifest.
        out: The run's folder; nothing is written outside it.
        tools: What looks at pictures and videos.
        choice: What is chosen.
        budget: When to fetch no more.
        keep_videos: Keep the whole videos (out/videos) after their clips are cut.
        every: Seconds between two lines that tell how far it is.
    """

    def __init__(
        self, source: Source, classes: Sequence[str], out: Path, tools: Tools, choice: Choice, budget: Budget, *,
        keep_videos: bool = False, every: float = EVERY,
    ) -> None:
        self.source, self.classes, self.out, self.tools = source, list(classes), out, tools
        self.choice, self.budget, self.keep_videos, self.every = choice, budget, keep_videos, every
        self.journal = Journal(out / JOURNAL)

    def __enter__(self) -> Crawl:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def look(self) -> list[tuple[str, Candidate]]:
        """Search and score thumbnails: the (class, candidate) pairs that pass, in the order they will be fetched."""
        for name in self.classes:
            if name not in self.journal.found:
                self.journal.searched(name, self.source.search(name))
                log.info("%s: %d videos found", name, len(self.journal.found[name]))
        groups = [
            (name, group) for name in self.classes
            for group in batches((one for one in self.journal.found[name] if one.unwanted is None), self.choice.batch)
        ]
        waiting = [(name, group) for name, group in groups if (name, group[-1].video) not in self.journal.thumbnails]
        with Meter(sum(len(group) for _, group in waiting), "thumbnails", every=self.every) as meter:
            for name, group in waiting:
                self._look_at(name, group)
                meter.tell(meter.done + len(group))
        passed = [
            [(name, one) for one in self.journal.found[name] if self._passed(name, one)] for name in self.classes
        ]
        # In turn, so that a budget is shared by all classes.
        return [pair for pair in chain.from_iterable(zip_longest(*passed)) if pair is not None]

    def fetch(self) -> list[Row]:
        """Everything after `look`, to the manifest; its rows."""
        wanted = self.look()
        waiting = [(name, one) for name, one in wanted if (name, one.video) not in self.journal.rows]
        fetched = {row["video"]: row["bytes"] for row in self.journal.rows.values() if row["bytes"] is not None}
        wanted_by = Counter(one.video for _, one in waiting)
        with Meter(len(waiting), "videos", every=self.every) as meter:
            for name, candidate in waiting:
                self.journal.through(row := self._one(name, candidate, fetched))
                if row["bytes"] is not None:
                    fetched[row["video"]] = row["bytes"]
                wanted_by[candidate.video] -= 1
                if not self.keep_videos and not wanted_by[candidate.video]:
                    self._drop(candidate)
                meter.tell(meter.done + 1, f"{sum(fetched.values()) / 1e9:.3g} GB so far")
        return self._finish()

    def _look_at(self, name: str, group: Sequence[Candidate]) -> None:
        results: dict[str, dict[str, Any]] = {}
        images, count = {}, 0
        for candidate in group:
            try:
                content = self.source.thumbnail(candidate)
                if content is None:
                    results[candidate.video] = {"score": None}
                else:
                    count += len(content)
                    images[candidate.video] = _picture(content)
            except BadItem as error:
                results[candidate.video] = {"status": _status(error)}
        if images:
            scores = self.tools.score(list(images.values()), name)
            for video, score in zip(images, scores, strict=True):
                results[video] = {"score": round(float(score), DIGITS)}
        self.journal.looked(name, results, count)

    def _passed(self, name: str, candidate: Candidate) -> bool:
        result = self.journal.thumbnails.get((name, candidate.video), {"status": ""})
        return "score" in result and (result["score"] is None or self.choice.passes(result["score"]))

    def _one(self, name: str, candidate: Candidate, fetched: dict[str, int]) -> Row:
        """The finished row of a candidate that passed."""
        row = {**self._row(name, candidate), "thumbnail_passed": True}
        if candidate.video not in fetched:
            hours = (time.time() - self.journal.begun) / 3600
            limit = self.budget.used_up(len(fetched), sum(fetched.values()) + self.journal.thumbnail_bytes, hours)
            if limit is not None:
                return skip(row, f"{limit} was reached")
        try:
            path, facts = self._file(candidate)
            row |= facts
            row["sha256"], row["bytes"] = digest_file(path)
            return examine(row, path, self.out, self.tools, self.choice)
        except BadItem as error:
            return {**row, "status": _status(error)}

    def _file(self, candidate: Candidate) -> tuple[Path, dict[str, Any]]:
        """The video's file and what its source says of it: fetched now, or by a start that was killed after it."""
        folder = self.out / "videos"
        record = folder / f"{safe_name(candidate.video)}.json"
        if record.is_file():
            known = read_json(record)
            if (folder / known["file"]).is_file():
                return folder / known["file"], known["facts"]
        got = self.source.fetch(candidate, self.out / "partial")
        if not got.own:
            return got.path, got.facts
        write_json(record, {"file": got.path.name, "facts": got.facts})
        try:
            os.replace(got.path, folder / got.path.name)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        return folder / got.path.name, got.facts

    def _drop(self, candidate: Candidate) -> None:
        """The video's file; the record that names it last."""
        record = self.out / "videos" / f"{safe_name(candidate.video)}.json"
        if record.is_file():
            (record.parent / read_json(record)["file"]).unlink(missing_ok=True)
            record.unlink()

    def _row(self, name: str, candidate: Candidate) -> Row:
        result = self.journal.thumbnails.get((name, candidate.video), {})
        return new_row(candidate.video, name, candidate.url, candidate.title) | {
            "query": candidate.query, "rank": candidate.rank, "uploader": candidate.uploader,
            "duration": candidate.duration, "distractor": candidate.distractor,
            "thumbnail_score": result.get("score"), "thumbnail_passed": False,
        }

    def _rows(self) -> Iterator[Row]:
        """Of all candidates, class by class in the order of their rank, then of videos of no class."""
        for name in self.classes:
            for one in self.journal.found[name]:
                done = self.journal.rows.get((name, one.video))
                if done is not None:
                    yield done
                elif one.unwanted is not None:
                    yield skip(self._row(name, one), one.unwanted)
                else:
                    result = self.journal.thumbnails[name, one.video]
                    row = self._row(name, one)
                    low = f"thumbnail not above {self.choice.threshold:g} ({result.get('score')})"
                    yield {**row, "status": result["status"]} if "status" in result else skip(row, low)
        yield from self.source.others()

    def _finish(self) -> list[Row]:
        rows = list(self._rows())
        write_jsonl(self.out / MANIFEST, rows)
        shutil.rmtree(self.out / "partial", ignore_errors=True)
        if not self.keep_videos:
            shutil.rmtree(self.out / "videos", ignore_errors=True)
        for stump in chain(self.out.glob(".tmp-*"), self.out.glob("videos/.tmp-*")):  # of starts that were killed
            stump.unlink()
        return rows


def _status(error: BadItem) -> str:
    return str((skip if isinstance(error, Unwanted) else fail)({}, error.problem)["status"])


def _picture(content: bytes) -> np.ndarray:
    """A picture file as (H, W, 3) uint8 RGB. Raises `BadItem`."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST_PICTURE:
                raise BadItem(f"thumbnail too large ({image.width} x {image.height})")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadItem(f"thumbnail cannot be read ({error})") from error

