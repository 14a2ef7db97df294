"""What a retrieval knows of videos: lines of its manifest, of its journal, and what these contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from wsvs.records.row import Row


@dataclass(frozen=True)
class Candidate(Row):
    """A video that a source proposes for a class; unknown values are None.

    Attributes:
        video: Id, independent of the class and query. Files are named after it.
        url: Its page or file.
        query: The search query.
        rank: Rank among the results, from 1.
        title, uploader: From the source.
        duration: Seconds.
        thumbnail: URL of its thumbnail.
        unwanted: Why it is skipped without further checks.
        distractor: Whether it was added although it is not of the class.
        identity: The site's name and its id there, independent of the URL.
        known: Whether it is known to be a single video. Otherwise the source's `open` resolves it.
    """

    complete: ClassVar[bool] = True

    video: str
    url: str
    query: str | None = None
    rank: int | None = None
    title: str | None = None
    uploader: str | None = None
    duration: float | None = None
    thumbnail: str | None = None
    unwanted: str | None = None
    distractor: bool = False
    identity: str | None = None
    known: bool = True


@dataclass(frozen=True)
class Outcome(Row):
    """The score of a candidate's thumbnail, None without one; or how a candidate ended before: see `FoundVideo`."""

    score: float | None = None
    status: str | None = None
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        return super().to_json() if self.status is not None else {"score": self.score}


@dataclass(frozen=True)
class KeyFrame(Row):
    """A scored key frame of a video, in seconds; `instead_of`: the time of the blank one that it replaces."""

    time: float
    score: float
    chosen: bool
    instead_of: float | None = None


@dataclass(frozen=True, kw_only=True)
class FoundClip(Row):
    """A clip of a video. Without `frames`, `offset` and `time` it is the whole video.

    Attributes:
        clip: Its name, <class>/<video>_<number>.
        path: Its file, relative to the manifest.
        start, stop: The frames of its file that belong to it: a file starts with the key frame before.
        frames: How many its file has.
        offset: Number within the video of its file's first frame.
        time: Of its first and last frame in the video, in seconds.
        damaged: Spans of frames of its file that could not be decoded completely.
    """

    clip: str
    path: str
    class_name: str
    start: int
    stop: int
    frames: int | None = None
    offset: int | None = None
    time: Sequence[float] | None = None
    url: str
    distractor: bool
    damaged: Sequence[Sequence[int]] = ()


@dataclass(frozen=True, kw_only=True)
class FoundVideo(Row):
    """A candidate for a class and what came of it: a line of the manifest. Unknown values are None.

    Attributes:
        class_name: None for a video that is of no class.
        thumbnail_score, thumbnail_passed: None where thumbnails are not scored.
        status: "retrieved", "skipped: <reason>" or "failed: <reason>", with details in brackets at its end.
        failure: Kind of the failure (`wsvs.retrieve.source.Kind`); older runs have none.
        identity: Site and id there. Lines of the same identity or `sha256` are of the same video.
        bytes: Size of its file.
    """

    complete: ClassVar[bool] = True

    video: str
    class_name: str | None
    query: str | None = None
    rank: int | None = None
    url: str
    title: str | None = None
    uploader: str | None = None
    licence: str | None = None
    duration: float | None = None
    thumbnail_score: float | None = None
    thumbnail_passed: bool | None = None
    status: str | None = None
    failure: str | None = None
    identity: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    key_frames: Sequence[KeyFrame] = ()
    distractor: bool = False
    clips: Sequence[FoundClip] = ()

    @classmethod
    def of(cls, one: Candidate, class_name: str) -> Self:
        """The line of a candidate of which no more is known."""
        shared = {"query", "rank", "title", "uploader", "duration", "identity", "distractor"}
        return cls(video=one.video, class_name=class_name, url=one.url, **{key: getattr(one, key) for key in shared})

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        row = super().from_json(line)
        key_frames = tuple(KeyFrame.from_json(one) for one in line.get("key_frames", ()))
        clips = tuple(FoundClip.from_json(one) for one in line.get("clips", ()))
        return replace(row, key_frames=key_frames, clips=clips)

    def to_json(self) -> dict[str, Any]:
        lists = {"key_frames": self.key_frames, "clips": self.clips}
        return super().to_json() | {key: [one.to_json() for one in rows] for key, rows in lists.items()}
