"""Clips, the shots that are found in them, whole videos, and the pieces of both that make one graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wsvs.records.row import Row
from wsvs.records.spans import left_out, middle, parse_piece, piece_name, pieces

Numbers = Sequence[int]
Spans = Sequence[Sequence[int]]
_OF_THE_CLIP = frozenset({"id", "path", "start", "stop", "offset", "damaged"})


@dataclass(frozen=True)
class Clip(Row):
    """A clip of the retrieve run with what is known of its video: a line of the relevance run's clips.jsonl.

    Attributes:
        clip: Its name, <class>/<video>_<number>.
        start, stop: The frames of its file that belong to it.
        frames: How many its file has.
        offset: Number within the video of its file's first frame.
        path: Its file, relative to the retrieve run.
        file: The same, wherever it is.
        damaged: Spans of frames of its file that could not be decoded whole.
    """

    clip: str
    video: str
    class_name: str
    start: int
    stop: int
    frames: int = 0
    offset: int = 0
    path: str = ""
    file: str = ""
    damaged: Spans = ()

    @property
    def id(self) -> str:
        return self.clip

    def shot(self, start: int, stop: int, score: float, odd: Numbers, blank: Numbers) -> Shot:
        """A shot of it. All numbers of frames are counted from the clip's start."""
        known = {key: value for key, value in self.to_json().items() if key not in _OF_THE_CLIP}
        gone = left_out(start, stop, odd, blank)
        first = self.start + start
        return Shot.from_json(
            {
                "shot": piece_name(self.clip, first),
                **known,
                "start": first,
                "stop": self.start + stop,
                "clip_start": self.offset,
                "score": score,
                **{key: [self.start + number for number in numbers] for key, numbers in gone.items()},
            }
        )


@dataclass(frozen=True)
class Shot(Row):
    """Frames [start, stop) of a clip that show its class: a line of shots.jsonl, of stage relevance or segment.

    Attributes:
        shot: Its name, <clip>_<first frame>; older runs have no `clip` beside it.
        frames: How many the clip's file has.
        clip_start: Number within the video of the file's first frame.
        sha256, identity: Of the video's content, and on its site; older runs have none.
        odd, blank: Frames that its graph is made without.
        areas, confidences: Share of its mask and confidence, of every frame; of a segment run.
        confidence, uncertain: Of the shot: an uncertain one has empty masks.
    """

    shot: str
    video: str
    class_name: str
    start: int
    stop: int
    clip: str | None = None
    file: str = ""
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    url: str | None = None
    sha256: str | None = None
    identity: str | None = None
    clip_start: int = 0
    score: float | None = None
    id: str | None = None
    odd: Numbers = ()
    blank: Numbers = ()
    areas: Sequence[float] = ()
    confidence: float | None = None
    confidences: Sequence[float] = ()
    uncertain: bool = False

    @property
    def name(self) -> str:
        return self.shot

    @property
    def classes(self) -> Sequence[str]:
        return [self.class_name]

    @property
    def middle(self) -> int:
        return (self.start + self.stop) // 2

    def cut(self, max_frames: int) -> Iterator[Shot]:
        """Shots of at most `max_frames` frames; each is named after its clip and first frame."""
        clip = self.clip or parse_piece(self.shot)[0]
        whole = {key: value for key, value in self.to_json().items() if key not in ("odd", "blank")}
        for start, stop in pieces(self.start, self.stop, max_frames):
            name = piece_name(clip, start)
            gone = left_out(start, stop, self.odd, self.blank)
            yield Shot.from_json({**whole, "shot": name, "id": name, "start": start, "stop": stop, **gone})


@dataclass(frozen=True)
class Video(Row):
    """A video of the user's own with masks for all its frames: a line of videos.jsonl.

    Attributes:
        class_name: The first of its `classes`, or the first of its tags, or "".
        classes: Those that the encoder knows.
        label: Of its object in the masks.
        confidence: The highest of its shots; older runs have none.
        uncertain_frames: How many of its frames are of uncertain shots; older runs do not say.
        aspect, damaged, times, notes: See `wsvs.video.reader.VideoInfo`.
        cuts, cut_seconds: Where a new shot begins; None without cut detection.
        odd, blank: Frames that no graph is made of.
    """

    video: str
    file: str
    class_name: str
    classes: Sequence[str] = ()
    label: int = 0
    frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    confidence: float | None = None
    uncertain_frames: int | None = None
    aspect: float = 1
    damaged: Spans = ()
    times: Sequence[float] | None = None
    notes: Sequence[str] = ()
    cuts: Numbers | None = None
    cut_seconds: Sequence[float] | None = None
    odd: Numbers | None = None
    blank: Numbers | None = None

    @property
    def name(self) -> str:
        return self.video

    @property
    def middle(self) -> int:
        return middle(self.frames, self.damaged)


@dataclass(frozen=True)
class Piece:
    """Frames [start, stop) of a file that make one graph: a shot, or a part of one.

    Attributes:
        id: Of its line in done/ and of its terms.
        name: The shot or the video that its masks are of.
        total: Frames of the file; None if unknown.
        height, width, fps, aspect: Of the video.
        classes: Where attention is looked for.
        label: Of the object in the masks.
        overlay: Where its overlay is written, relative to the run.
        odd, blank: Frames that are no part of the graph.
        times: Seconds of its frames, where they do not come at the rate `fps`.
        mark: Text for the overlay.
        of: The video, or the whole shot, within which an object keeps its id.
        shot: Number of the shot within it.
        load: Its share of the bytes of the video.
    """

    id: str
    name: str
    file: str
    start: int
    stop: int
    total: int | None
    height: int
    width: int
    fps: float
    classes: Sequence[str]
    label: int
    overlay: str
    odd: Numbers = ()
    blank: Numbers = ()
    aspect: float = 1.0
    times: Sequence[float] | None = None
    mark: str = ""
    of: str = ""
    shot: int = 1
    load: float = 0.0

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Is every frame part of the graph?"""
        return not (self.odd or self.blank)

    @property
    def sound(self) -> list[int]:
        """Numbers of the frames that the graph is made of: neither odd nor blank."""
        gone = {*self.odd, *self.blank}
        return [number for number in range(self.start, self.stop) if number not in gone]


@dataclass(frozen=True)
class ScoredClip(Row):
    """A clip's line in done/ of a relevance run; `cuts`, `odd` and `blank` are None without cut detection."""

    frames: int
    broken: str | None
    cuts: Numbers | None = None
    odd: Numbers | None = None
    blank: Numbers | None = None


@dataclass(frozen=True)
class SegmentedPiece(Row):
    """A piece's line in done/ of a segment run; see `Shot` for the fields of that name.

    Attributes:
        energy: Of its labels, by term.
        seconds: Spent, by step.
    """

    frames: int
    areas: Sequence[float]
    confidence: float | None = None
    confidences: Sequence[float] = ()
    energy: Mapping[str, float] = field(kw_only=True)
    seconds: Mapping[str, float] = field(kw_only=True)
    uncertain: bool = False


@dataclass(frozen=True)
class Track(Row):
    """An object that is tracked through a video: a line of tracks.jsonl.

    Attributes:
        track: Its id, the value in the masks of instances.
        first, last: The first and the last frame in which it is visible.
        frames: Number of frames in which it is visible.
        area: Its mean share of these frames.
        label, class_name: Of the video's object in the masks.
    """

    video: str
    track: int
    first: int
    last: int
    frames: int
    area: float
    label: int
    class_name: str


@dataclass(frozen=True)
class SeenVideo(Row):
    """A video's line in seen/: what had to be known before it was cut. See `wsvs.video.reader.VideoInfo`, `Video`.

    Attributes:
        pieces: How many it is cut into; runs of older versions do not say.
    """

    damage: str
    width: int
    height: int
    fps: float
    frames: int
    damaged: Spans
    times: Sequence[float] | None
    aspect: float
    broken: str | None
    promised: int
    notes: Sequence[str]
    cuts: Numbers | None = None
    cut_seconds: Sequence[float] | None = None
    odd: Numbers | None = None
    blank: Numbers | None = None
    pieces: int | None = None
