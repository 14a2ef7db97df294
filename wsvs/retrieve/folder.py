"""Videos from a local folder, with classes from a table or from folder names."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TextIO

from wsvs.config.checked import checked
from wsvs.config.groups import Foreign
from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import explain_os_error, link_file
from wsvs.core.folders import split_of
from wsvs.core.tables import Tags, read_tag_table
from wsvs.records.retrieved import FoundClip, FoundVideo
from wsvs.records.row import write_rows
from wsvs.retrieve.clips import digest_file
from wsvs.retrieve.find import Given, find_videos
from wsvs.retrieve.manifest import FAILED, MANIFEST, RETRIEVED, SKIPPED, fail, safe_name, skip

log = logging.getLogger("wsvs")

_JOURNAL = "manifest.partial.jsonl"
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Pack = Callable[[Path, Path], None]
"""(images, video file to make): a folder of numbered images, or an animation, as a file (`wsvs.video.pack.pack`)."""
PACKED = ".mkv"


class VideoFacts(Protocol):
    """The properties of a video that are needed, as returned by `wsvs.video.reader.probe`."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def frames(self) -> int: ...
    @property
    def damaged(self) -> tuple[tuple[int, int], ...]: ...


@dataclass(frozen=True)
class Video:
    """A video of the source.

    Attributes:
        id: Path relative to the root without extension (with it if two files differ only in that).
        path: The file, or the folder of its images; None if the table lists a video that does not exist.
        tags: Its class names, known or not.
        short: The id inside its class folder.
    """

    id: str
    path: Path | None
    tags: tuple[str, ...]
    short: str

    @property
    def packed(self) -> bool:
        """Whether its images must be packed into a video file first."""
        return self.path is not None and (self.path.suffix.lower() == ".webp" or self.path.is_dir())

    @property
    def suffix(self) -> str:
        """Extension of a clip that is the whole video."""
        return PACKED if self.packed else self.path.suffix if self.path is not None else ""


class FolderSource:
    """Videos below a folder, or of a file, a pattern or a list of these (`wsvs.retrieve.find.find_videos`).

    Args:
        root: Folder, file, pattern or list given by the user.
        labels: Table of video id and class tags (`wsvs.core.tables.read_tag_table`); ids are paths relative to the
            folder, with or without extension. Without a table the first folder is the class:
            root/<class>/<video>.mp4, root/train/<class>/<video>.mp4, or root/<class>/<video>/00000.jpg.
        known: Names of the classes, for the table.
        key: The setting of `root`, for messages.

    Attributes:
        root: Common parent folder of the videos.
        not_read: A text about files that are not videos; '' if there are none.

    Raises:
        UserError: No such folder, no video in it, or no video that the table lists.
    """

    def __init__(
        self, root: Given, labels: str | Path | None = None, known: Collection[str] = (), *, key: str = "retrieve.root"
    ) -> None:
        found = find_videos(root, key)
        self.root = found.root
        self.labels = labels
        self.not_read = found.not_read([Path(labels)] if labels else [])
        paths = [PurePosixPath(path.relative_to(self.root).as_posix()) for path in found.videos]
        self._folders = {name for name, path in zip(paths, found.videos, strict=True) if path.is_dir()}
        if labels:
            table = read_tag_table(labels, known)
            log.info("%s", table.summary(labels))
        self.videos = self._with_table(paths, table.tags) if labels else self._with_folders(paths)

    def _with_folders(self, paths: list[PurePosixPath]) -> list[Video]:
        ids = self._ids(paths)
        parts = {p: (*p.parts, "frames") if p in self._folders else p.parts for p in paths}
        deep = [one for one in parts.values() if len(one) > 1]
        at = 1 if deep and split_of(deep, self.root) else 0  # the part of the path that is the class
        return [
            Video(
                ids[p],
                self.root / p,
                p.parts[at : at + 1] if len(parts[p]) > at + 1 else (),
                "/".join(ids[p].split("/")[at + 1 :]) or ids[p],
            )
            for p in paths
        ]

    def _with_table(self, paths: list[PurePosixPath], table: Tags) -> list[Video]:
        ids = self._ids(paths)
        named: dict[str, list[PurePosixPath]] = {}
        for path in paths:
            for name in {str(path), self._stem(path)}:
                named.setdefault(name, []).append(path)
        tags: dict[PurePosixPath, tuple[str, ...]] = {}
        lost = []
        for name, given in table.items():
            found = named.get(str(PurePosixPath(name)), [])
            if not found:
                lost.append(Video(name, None, given, name))
            for path in found:
                tags[path] = tuple(dict.fromkeys(tags.get(path, ()) + given))
        if not tags:
            raise UserError(
                "the table lists no video of this folder",
                where=f"{self.labels} and {self.root}",
                remedy=f"ids are paths relative to the folder, such as {ids[paths[0]]!r}",
            )
        return [Video(ids[p], self.root / p, tags.get(p, ()), ids[p]) for p in paths] + lost

    def _stem(self, path: PurePosixPath) -> str:
        return str(path if path in self._folders else path.with_suffix(""))

    def _ids(self, paths: list[PurePosixPath]) -> dict[PurePosixPath, str]:
        count = Counter(map(self._stem, paths))
        return {path: self._stem(path) if count[self._stem(path)] == 1 else str(path) for path in paths}


@checked
def retrieve_folder(
    source: FolderSource,
    classes: Classes,
    out_dir: str | Path,
    *,
    probe: Callable[[Path], VideoFacts],
    pack: Pack | None = None,
    foreign: Foreign = "skip",
    progress: Progress = iter,
) -> dict[str, Any]:
    """Use each video as one clip of its class, and write the manifest.

    A clip is the whole video at out_dir/clips/<class>/<video>_0.<its extension>: a hard link if the file system
    supports it, else a copy. A video with several tags is a candidate of each of these classes; tags that are not
    classes are ignored. Called again, it resumes, and keeps unchanged clips.

    Args:
        source: The videos.
        classes: The classes to retrieve.
        out_dir: Folder of clips and manifest.
        probe: Reads size, rate and number of frames of a video, or raises `BadItem` (`wsvs.video.reader.probe`).
        pack: Packs images into a file.
        foreign: Videos without a tag among the classes: 'skip' ignores them; 'assign' distributes them over the classes
            round-robin, marked as "distractor", like wrong results of a web search.
        progress: Wraps the candidates to show progress.

    Returns:
        Counts: "candidates", "retrieved", "skipped", "failed", "distractors", "frames", "retrieved_by_class"
        {class: videos} and "classes_without_video" [class].

    Raises:
        UserError: The disk is full or cannot be written.
    """
    out = Path(out_dir)
    known = _earlier_rows(out)
    candidates = plan(source, classes, foreign)
    counts = _Counts(classes)

    def rows(journal: TextIO) -> Iterator[FoundVideo]:
        for video, row in progress(candidates):
            row = _retrieve(video, row, known.get((row.video, row.class_name)), out, probe, pack)
            journal.write(json.dumps(row.to_json()) + "\n")
            journal.flush()
            counts.add(row)
            yield row

    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / _JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write("\n")  # the last line of a killed run may be incomplete
            write_rows(out / MANIFEST, rows(journal))
    except OSError as error:
        raise explain_os_error(error, out) from error
    (out / _JOURNAL).unlink()
    return counts.result()


class _Counts:
    def __init__(self, classes: Classes) -> None:
        self.status = {RETRIEVED: 0, SKIPPED: 0, FAILED: 0}
        self.by_class = dict.fromkeys(classes, 0)
        self.own = dict.fromkeys(classes, 0)
        self.frames = self.distractors = 0

    def add(self, row: FoundVideo) -> None:
        status = (row.status or "").partition(":")[0]
        self.status[status] += 1
        if status == RETRIEVED and row.class_name is not None:
            self.frames += row.frames or 0
            self.by_class[row.class_name] += 1
            self.distractors += row.distractor
            self.own[row.class_name] += not row.distractor

    def result(self) -> dict[str, Any]:
        return {
            "candidates": sum(self.status.values()),
            **self.status,
            "distractors": self.distractors,
            "frames": self.frames,
            "retrieved_by_class": self.by_class,
            "classes_without_video": [name for name, count in self.own.items() if count == 0],
        }


def plan(source: FolderSource, classes: Classes, foreign: Foreign) -> list[tuple[Video, FoundVideo]]:
    """Candidates in the order of the source: (video, its row with class, clip and, if it is skipped, status)."""
    plan: list[tuple[Video, FoundVideo]] = []
    turn = 0
    for video in source.videos:
        url = (video.path or source.root / video.id).as_uri()
        row = FoundVideo(video=video.id, class_name=None, url=url, title=Path(video.id).name)
        own: Sequence[str | None] = [name for name in classes if name in video.tags]
        if video.path is None:
            lost = fail(row, "no such file below the folder")
            plan += [(video, replace(lost, class_name=name)) for name in own or [None]]
        elif own:
            plan += [(video, replace(row, class_name=name)) for name in own]
        elif foreign == "assign":
            plan.append((video, replace(row, class_name=classes.names[turn % len(classes)], distractor=True)))
            turn += 1
        else:
            tags = ", ".join(video.tags)
            plan.append((video, skip(row, f"no class among its tags ({tags})" if tags else "it has no tag")))
    used: set[tuple[str, str]] = set()
    for number in sorted(range(len(plan)), key=lambda at: plan[at][1].distractor):  # videos of the class come first
        video, row = plan[number]
        if row.status is None and row.class_name is not None:
            name = safe_name(video.id if row.distractor else video.short)
            while (row.class_name, name) in used:
                name = safe_name(f"{name}/{video.id}")
            used.add((row.class_name, name))
            clip = f"{row.class_name}/{name}_0"
            whole = FoundClip(
                clip=clip,
                path=f"clips/{clip}{video.suffix}",
                class_name=row.class_name,
                start=0,
                stop=0,  # until its frames are counted
                url=row.url,
                distractor=row.distractor,
            )
            plan[number] = video, replace(row, clips=(whole,))
    return plan


def _retrieve(
    video: Video,
    row: FoundVideo,
    earlier: FoundVideo | None,
    out: Path,
    probe: Callable[[Path], VideoFacts],
    pack: Pack | None,
) -> FoundVideo:
    """The finished row of one candidate, after its clip has been written if it is retrieved."""
    if row.status is not None or video.path is None:
        return row
    [clip] = row.clips
    target = out / clip.path
    if earlier is not None and _unchanged(video, target, earlier, row):
        return earlier
    try:
        path = video.path
        if video.packed and pack is not None:
            pack(video.path, target)
            path = target
        facts = probe(path)
        digest, size = digest_file(path)
    except (BadItem, OSError) as error:
        reason = error.problem if isinstance(error, BadItem) else f"cannot be read ({error.strerror or error})"
        return fail(replace(row, clips=()), reason)
    if path != target:
        link_file(path, target)
    return replace(
        row,
        status=RETRIEVED,
        duration=round(facts.frames / facts.fps, 3),
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        frames=facts.frames,
        sha256=digest,
        bytes=size,
        clips=(replace(clip, stop=facts.frames, damaged=facts.damaged),),
    )


def _unchanged(video: Video, target: Path, earlier: FoundVideo, row: FoundVideo) -> bool:
    """Whether a clip of an earlier call exists, is complete, and matches the present file (or images)."""
    same = (earlier.url, earlier.distractor) == (row.url, row.distractor)
    if not same or earlier.status != RETRIEVED or earlier.clips[0].path != row.clips[0].path:
        return False
    assert video.path is not None
    try:
        now, then = video.path.stat(), target.stat()
        if video.packed:
            files = list(video.path.iterdir()) if video.path.is_dir() else [video.path]
            newest = max([now.st_mtime_ns, *(file.stat().st_mtime_ns for file in files)])
            return then.st_size == earlier.bytes and newest <= then.st_mtime_ns
    except OSError:
        return False
    return now.st_size == then.st_size == earlier.bytes and now.st_mtime_ns == then.st_mtime_ns


def _earlier_rows(out: Path) -> dict[tuple[str, str | None], FoundVideo]:
    """Rows of a finished or killed call, without an incomplete last line."""
    rows = list(FoundVideo.read(out / MANIFEST)) if (out / MANIFEST).is_file() else []
    if (out / _JOURNAL).is_file():
        for line in (out / _JOURNAL).read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                rows.append(FoundVideo.from_json(json.loads(line)))
    return {(row.video, row.class_name): row for row in rows}
