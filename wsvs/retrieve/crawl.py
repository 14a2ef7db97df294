"""The procedure of section 4: search, score thumbnails, download videos that pass, keep clips around key frames."""

from __future__ import annotations

import io
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsvs.config.base import AtLeast0, Natural
from wsvs.config.checked import checked
from wsvs.config.groups import WebRetrieve
from wsvs.core.errors import BadItem
from wsvs.core.files import explain_os_error, read_json, write_json
from wsvs.core.progress import EVERY, Meter
from wsvs.records.retrieved import Candidate, FoundVideo, Outcome
from wsvs.records.row import write_rows
from wsvs.retrieve.clips import digest_file
from wsvs.retrieve.examine import DIGITS, Choice, Tools, batches, examine
from wsvs.retrieve.journal import JOURNAL, Journal
from wsvs.retrieve.keyframes import FLAT, contrast_of
from wsvs.retrieve.manifest import MANIFEST, R, fail, safe_name, skip
from wsvs.retrieve.pace import Streak
from wsvs.retrieve.source import Failed, Source, Unwanted

log = logging.getLogger("wsvs")
MAX_PIXELS = 50_000_000  # of a thumbnail: a few bytes can decompress to any size
_DEFAULT = WebRetrieve()

Pair = tuple[str, Candidate]


@checked
@dataclass(frozen=True)
class Budget:
    """Limits of a retrieval; None means no limit.

    Args:
        max_videos: Maximum number of downloaded videos.
        max_bytes: Maximum number of bytes for thumbnails and videos. The video that exceeds it is still finished.
        max_hours: Hours since the first start of the run.
    """

    max_videos: Natural | None = None
    max_bytes: AtLeast0 | None = None
    max_hours: AtLeast0 | None = None

    def used_up(self, videos: int, count: int, hours: float) -> str | None:
        """Name of the limit that is reached, if one is."""
        for name, spent in (("max_videos", videos), ("max_bytes", count), ("max_hours", hours)):
            limit = getattr(self, name)
            if limit is not None and spent >= limit:
                return name
        return None


class Crawl:
    """One retrieval. It can be killed at any time; a restarted run gives the same result as an uninterrupted one.

    Args:
        source: The source of the videos.
        classes: Names of the classes, in the order of the manifest.
        out: The run's folder; nothing is written outside it.
        tools: The functions that score images and cut videos.
        choice: Selection of videos and key frames.
        budget: Limits.
        keep_videos: Keep the whole videos (out/videos) after their clips are cut.
        every: Seconds between two progress lines.
        streak: Consecutive failures, except of kinds `gone` and `unusable`, that stop the run; None never stops it.
        retry: Kinds of failures of earlier starts that are tried again, in addition to temporary ones.
    """

    def __init__(
        self,
        source: Source,
        classes: Sequence[str],
        out: Path,
        tools: Tools,
        choice: Choice,
        budget: Budget,
        *,
        keep_videos: bool = False,
        every: float = EVERY,
        streak: int | None = _DEFAULT.streak,
        retry: Collection[str] = (),
    ) -> None:
        self.source, self.classes, self.out, self.tools = source, list(classes), out, tools
        self.choice, self.budget, self.keep_videos, self.every = choice, budget, keep_videos, every
        self.streak = Streak(streak)
        self.journal = Journal(out / JOURNAL)
        self.journal.reopen({"budget"})  # the budget may be larger now
        again = self.journal.reopen({"later", *retry})
        if again:
            log.info("retrying videos that failed in earlier starts: %d", again)
        self._same: dict[str, str] = {}  # id of a candidate -> id of the first candidate that is the same video
        self._twice: dict[tuple[str, str], str] = {}  # reasons for candidates that a class already has

    def __enter__(self) -> Crawl:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def look(self) -> list[Pair]:
        """Search and score thumbnails; return the (class, candidate) pairs that pass, in download order."""
        for name in self.classes:
            if name not in self.journal.found:
                self.journal.searched(name, self.source.search(name))
                log.info("%s: %d videos found", name, len(self.journal.found[name]))
        self._open()
        waiting = self._new_first(
            (name, one)
            for name, one in self._candidates()
            if self._unwanted(name, one) is None and (name, one.video) not in self.journal.thumbnails
        )
        with Meter(len(waiting), "thumbnails", every=self.every) as meter:
            for name in self.classes:
                for group in batches((one for which, one in waiting if which == name), self.choice.batch):
                    self._look_at(name, group)
                    meter.tell(meter.done + len(group))
        passed = [
            [(name, one) for one in self.journal.candidates(name) if self._passed(name, one)] for name in self.classes
        ]
        # Round-robin, so that all classes share the budget.
        return [pair for pair in chain.from_iterable(zip_longest(*passed)) if pair is not None]

    def fetch(self) -> list[FoundVideo]:
        """Everything after `look`, up to the manifest; returns its rows."""
        wanted = self.look()
        waiting = self._new_first((name, one) for name, one in wanted if (name, one.video) not in self.journal.rows)
        fetched = {
            self._same.get(video, video): row.bytes
            for (_, video), row in self.journal.rows.items()
            if row.bytes is not None
        }
        wanted_by = Counter(self._video(one) for _, one in waiting)
        with Meter(len(waiting), "videos", every=self.every) as meter:
            for name, candidate in waiting:
                if (name, candidate.video) in self.journal.reopened and self._video(candidate) not in fetched:
                    self._drop(candidate)  # remove the rejected file
                self.journal.through(row := self._one(name, candidate, fetched))
                if row.bytes is not None:
                    fetched[self._video(candidate)] = row.bytes
                wanted_by[self._video(candidate)] -= 1
                if not self.keep_videos and not wanted_by[self._video(candidate)]:
                    self._drop(candidate)
                if row is not self.journal.reopened.get((name, candidate.video)):
                    self.streak.add(row)
                meter.tell(meter.done + 1, f"{sum(fetched.values()) / 1e9:.3g} GB so far")
        return self._finish()

    def _open(self) -> None:
        """Resolve URLs that are not known to be single videos; then find duplicates."""

        def unopened() -> list[Pair]:
            return self._new_first(
                (name, one)
                for name, one in self._candidates()
                if not one.known and (name, one.video) not in self.journal.thumbnails
            )

        while waiting := unopened():  # a list may contain further URLs
            with Meter(len(waiting), "addresses", every=self.every) as meter:
                for name, one in waiting:
                    try:
                        into = self.source.open(one)  # type: ignore[attr-defined]
                    except BadItem as error:
                        self.journal.looked(name, {one.video: (result := _fate(Outcome(), error))}, 0)
                    else:
                        self.journal.opened(name, one, into)
                        result = Outcome()
                    self.streak.add(result)
                    meter.tell(meter.done + 1)
        first: dict[str, str] = {}
        seen: dict[tuple[str, str], str] = {}
        for name, one in self._candidates():
            if one.identity is not None:
                self._same[one.video] = first.setdefault(one.identity, one.video)
                other = seen.setdefault((name, one.identity), one.video)
                if other != one.video:
                    self._twice[name, one.video] = f"the same video as {other} ({one.identity})"

    def _candidates(self) -> Iterator[Pair]:
        for name in self.classes:
            for one in self.journal.candidates(name):
                yield name, one

    def _new_first(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Retries come last, so that the run makes progress even if some URL fails every time."""
        return sorted(pairs, key=lambda pair: (pair[0], pair[1].video) in self.journal.reopened)

    def _video(self, candidate: Candidate) -> str:
        """Id under which its file is downloaded: that of the first candidate that is the same video."""
        return self._same.get(candidate.video, candidate.video)

    def _unwanted(self, name: str, candidate: Candidate) -> str | None:
        """Why a candidate is skipped without further checks."""
        return candidate.unwanted or self._twice.get((name, candidate.video))

    def _look_at(self, name: str, group: Sequence[Candidate]) -> None:
        results: dict[str, Outcome] = {}
        images, count = {}, 0
        for candidate in group:
            try:
                content = self.source.thumbnail(candidate)
                if content is None:
                    results[candidate.video] = Outcome()
                else:
                    count += len(content)
                    image = _decode(content)
                    if contrast_of(image) < FLAT:  # black or of one colour: not informative
                        results[candidate.video] = Outcome()
                    else:
                        images[candidate.video] = image
            except BadItem as error:
                results[candidate.video] = _fate(Outcome(), error)
            self.streak.count(results.get(candidate.video, Outcome()))
            if self.streak.full:
                break
        if images:
            scores = self.tools.score(list(images.values()), name)
            for video, score in zip(images, scores, strict=True):
                results[video] = Outcome(round(float(score), DIGITS))
        self.journal.looked(name, results, count)
        self.streak.check()

    def _passed(self, name: str, candidate: Candidate) -> bool:
        result = self.journal.thumbnails.get((name, candidate.video))
        if result is None or result.status is not None:
            return False
        return result.score is None or self.choice.passes(result.score)

    def _one(self, name: str, candidate: Candidate, fetched: Mapping[str, int]) -> FoundVideo:
        """The finished row of a candidate that passed."""
        row = replace(self._row(name, candidate), thumbnail_passed=True)
        if self._video(candidate) not in fetched:
            hours = (time.time() - self.journal.begun) / 3600
            limit = self.budget.used_up(len(fetched), sum(fetched.values()) + self.journal.thumbnail_bytes, hours)
            if limit is not None:
                earlier = self.journal.reopened.get((name, candidate.video))
                # the reason of the temporary failure is more useful than that there was no second attempt
                if isinstance(earlier, FoundVideo):
                    return earlier
                return replace(skip(row, f"{limit} was reached"), failure="budget")
        try:
            path, facts = self._file(candidate)
            row = FoundVideo.from_json(row.to_json() | facts)
            digest, size = digest_file(path)
            row = replace(row, sha256=digest, bytes=size)
            for other in self.journal.rows.values():
                if other.class_name == name and other.sha256 == digest:
                    return skip(row, f"the same video as {other.video} (by its content)")
            return examine(row, name, path, self.out, self.tools, self.choice)
        except BadItem as error:
            return _fate(row, error)

    def _file(self, candidate: Candidate) -> tuple[Path, dict[str, Any]]:
        """The video's file and metadata, downloaded now or by an earlier start."""
        folder = self.out / "videos"
        record = folder / f"{safe_name(self._video(candidate))}.json"
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
        """Remove the video's file, then its record."""
        record = self.out / "videos" / f"{safe_name(self._video(candidate))}.json"
        if record.is_file():
            (record.parent / read_json(record)["file"]).unlink(missing_ok=True)
            record.unlink()

    def _row(self, name: str, candidate: Candidate) -> FoundVideo:
        score = self.journal.thumbnails.get((name, candidate.video), Outcome()).score
        return replace(FoundVideo.of(candidate, name), thumbnail_score=score, thumbnail_passed=False)

    def _rows(self) -> Iterator[FoundVideo]:
        """Rows of all candidates, by class and rank, then of videos without a class."""
        for name in self.classes:
            for one in self.journal.candidates(name):
                unwanted = self._unwanted(name, one)
                done = self.journal.rows.get((name, one.video))
                if done is not None:
                    yield done
                elif unwanted is not None:
                    yield skip(self._row(name, one), unwanted)
                else:
                    result = self.journal.thumbnails[name, one.video]
                    row = self._row(name, one)
                    if result.status is None:
                        yield skip(row, f"thumbnail not above {self.choice.threshold:g} ({result.score})")
                    else:
                        yield replace(row, status=result.status, failure=result.failure)
        yield from self.source.others()

    def _finish(self) -> list[FoundVideo]:
        rows = list(self._rows())
        write_rows(self.out / MANIFEST, rows)
        shutil.rmtree(self.out / "partial", ignore_errors=True)
        if not self.keep_videos:
            shutil.rmtree(self.out / "videos", ignore_errors=True)
        for stump in chain(self.out.glob(".tmp-*"), self.out.glob("videos/.tmp-*")):  # partial files of killed starts
            stump.unlink()
        return rows


def _fate(row: R, error: BadItem) -> R:
    """A row, or the outcome of a step, with the status and failure of an error."""
    if isinstance(error, Unwanted):
        return skip(row, error.problem)
    return fail(row, error.problem, error.kind if isinstance(error, Failed) else "unusable")


def _decode(content: bytes) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB. Raises `BadItem`."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadItem(f"thumbnail too large ({image.width} x {image.height})")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadItem(f"thumbnail cannot be read ({error})") from error
