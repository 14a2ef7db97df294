"""Reviews of images, videos and shots: review.jsonl has a line for each answer; the last answer on an item counts."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error, files_below
from wsvs.core.locks import lock

log = logging.getLogger("wsvs")

REVIEWS = "review.jsonl"  # <out>/<name>/review.jsonl
SNAPSHOT = "reviews.json"  # in the directory of a run: the answers that it has read
ACCEPT, REJECT = "accept", "reject"
VERDICTS = (None, ACCEPT, REJECT)
KINDS = ("image", "video", "shot")
Part = Literal["shots", "images", "tags"]
_EDGE = 1 << 20  # bytes at the start and the end of a file that identify it


@dataclass(frozen=True)
class Subject:
    """The item of an answer.

    Attributes:
        kind: "image", "video" or "shot".
        name: Its name on the page.
        key: Its identity: the name of a shot, the content of an image or a video, which may be moved.
        size: Size of the file in bytes; 0 for a shot.
    """

    kind: str
    name: str
    key: str
    size: int = 0


@dataclass(frozen=True)
class Answer:
    """An answer of the reviewer.

    Attributes:
        verdict: "accept", "reject", or None.
        tags: The corrected classes; None if they were not corrected.
    """

    verdict: str | None = None
    tags: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return self != Answer()


def subject_of(kind: str, name: str, file: Path | None) -> Subject | None:
    """The subject of an item of the report; None if its file does not exist."""
    if kind == "shot":
        return Subject(kind, name, name)
    try:
        return None if file is None else Subject(kind, name, identity(file), file.stat().st_size)
    except OSError:
        return None


def identity(file: Path) -> str:
    """Digest of a file's size and content; for a large file, of its first and last MiB."""
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        digest = hashlib.sha256(f"{size} ".encode() + stream.read(_EDGE))
        stream.seek(max(_EDGE, size - _EDGE))
        digest.update(stream.read(_EDGE))
    return digest.hexdigest()


def content_of(path: Path) -> str:
    """Digest of a file, or of all files below a folder with their names."""
    if not path.is_dir():
        return identity(path)
    files = sorted((file.relative_to(path).as_posix(), identity(file)) for file in files_below(path) if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


class History:
    """The answers so far, and the previous ones for undo."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[Subject, Answer]] = {}  # by the subject's key
        self.before: list[tuple[Subject, Answer]] = []

    def now(self, subject: Subject) -> Answer:
        """The current answer, or an empty one."""
        return self.answers[subject.key][1] if subject.key in self.answers else Answer()

    def add(self, subject: Subject, answer: Answer, *, undo: bool = False) -> None:
        if not undo:
            self.before.append((subject, self.now(subject)))
        elif self.before:
            self.before.pop()
        self.answers[subject.key] = subject, answer


def read_history(path: Path) -> History:
    """The answers in a file; empty if there is no file.

    An incomplete last line, left by a full disk or a crash, was never reported as saved: it is ignored.

    Raises:
        UserError: Any other line is not a valid answer.
    """
    try:
        return _history(path.read_bytes(), path) if path.is_file() else History()
    except OSError as error:
        raise explain_os_error(error, path) from error


def _history(data: bytes, path: Path) -> History:
    found = History()
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        if line.strip():
            try:
                found.add(*_parsed(json.loads(line)), undo="undo" in json.loads(line))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"line {number} is not a valid answer of a review: {type(error).__name__} {error}",
                    where=path,
                    remedy="remove this line, or give review.use=false to train without the review",
                ) from error
    return found


def _parsed(row: Mapping[str, Any]) -> tuple[Subject, Answer]:
    tags = row["tags"]
    if row["kind"] not in KINDS or row["verdict"] not in VERDICTS or not isinstance(row["key"], str):
        raise ValueError(f"kind {row['kind']!r}, verdict {row['verdict']!r}")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise ValueError(f"tags {tags!r}")
    subject = Subject(row["kind"], str(row["name"]), row["key"], int(row["size"]))
    return subject, Answer(row["verdict"], None if tags is None else tuple(tags))


class Journal(History):
    """review.jsonl, written by one process. An answer is on the disk when `answer` returns.

    Raises:
        UserError: Another process has locked it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a+", encoding="utf-8")
            self._take()
            number = self._stream.fileno()  # closing another handle of the file would release the lock
            os.lseek(number, 0, os.SEEK_SET)
            data = os.read(number, os.fstat(number).st_size)
        except OSError as error:
            raise explain_os_error(error, path) from error
        found = _history(data, path)
        self.answers, self.before = found.answers, found.before
        os.ftruncate(number, data.rfind(b"\n") + 1)  # remove an incomplete line

    def _take(self) -> None:
        try:
            free = lock(self._stream)
        except OSError as error:
            log.warning("no locks on this file system (%s): review in one process only", error.strerror)
            return
        if not free:
            self._stream.close()
            raise UserError(
                "another process reviews this name",
                where=self.path,
                remedy="continue on its page, or stop it with Ctrl-C",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stream.close()

    def answer(self, subject: Subject, answer: Answer, **more: str) -> None:
        """Add an answer. Raises `UserError` if it cannot be stored, as on a full disk."""
        self._write(subject, answer, more)
        self.add(subject, answer)

    def undo(self, **more: str) -> Subject | None:
        """Undo the last answer that has not been undone; returns its subject, or None without such an answer."""
        if not self.before:
            return None
        subject, answer = self.before[-1]
        self._write(subject, answer, more | {"undo": True})
        self.add(subject, answer, undo=True)
        return subject

    def _write(self, subject: Subject, answer: Answer, more: Mapping[str, Any]) -> None:
        row = {
            "kind": subject.kind,
            "name": subject.name,
            "verdict": answer.verdict,
            "tags": None if answer.tags is None else list(answer.tags),
            "key": subject.key,
            "size": subject.size,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **more,
        }
        line, number = (json.dumps(row) + "\n").encode(), self._stream.fileno()
        end = os.fstat(number).st_size
        try:
            if os.write(number, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(number)
        except OSError as error:
            os.ftruncate(number, end)
            raise explain_os_error(error, self.path) from error


@dataclass(frozen=True)
class Reviews:
    """The answers that a run reads.

    Attributes:
        shots: By name of the shot.
        files: By content of the image or video.
        sizes: The sizes of these files; files of other sizes have no answers and need not be read.
        corrected: Digest of the manually corrected masks; empty without any.
    """

    shots: Mapping[str, Answer] = field(default_factory=dict)
    files: Mapping[str, Answer] = field(default_factory=dict)
    sizes: Collection[int] = frozenset()
    corrected: str = ""

    def of(self, files: Mapping[str, Path]) -> dict[str, Answer]:
        """{name: answer} of the reviewed files. Copies of a file share its answer."""
        found = {}
        for name, file in files.items():
            try:
                key = identity(file) if self.sizes and file.stat().st_size in self.sizes else ""
            except OSError:  # reported when the file is read
                continue
            if key in self.files:
                found[name] = self.files[key]
        return found

    def summary(self) -> list[str]:
        """The manual work behind a model, one sentence for each kind of item."""
        lines = []
        for answers, unit in ((self.shots, "shots"), (self.files, "images")):
            verdicts = Counter(answer.verdict for answer in answers.values())
            retagged = sum(answer.tags is not None for answer in answers.values())
            parts = [f"{verdicts[one]} {one}ed" for one in (ACCEPT, REJECT) if verdicts[one]]
            parts += [f"{retagged} with other tags"] if retagged else []
            if parts:
                lines.append(f"reviewed by a person: {unit} {len(answers)} ({', '.join(parts)})")
        return lines

    def asdict(self) -> dict[str, Any]:
        """Primitives for JSON, in a fixed order, without empty parts."""
        kept = {"shots": self.shots, "files": self.files}
        found: dict[str, Any] = {
            part: {
                key: [one.verdict, None if one.tags is None else [*one.tags]] for key, one in sorted(answers.items())
            }
            for part, answers in kept.items()
            if answers
        }
        found |= {"sizes": sorted(self.sizes)} if self.files else {}
        return found | ({"corrected": self.corrected} if self.corrected else {})

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Reviews:
        """The inverse of `asdict`."""
        parts = [
            {key: Answer(verdict, None if tags is None else tuple(tags)) for key, (verdict, tags) in found.items()}
            for found in (content.get("shots", {}), content.get("files", {}))
        ]
        return cls(parts[0], parts[1], frozenset(content.get("sizes", ())), content.get("corrected", ""))


def reviews(history: History, parts: Sequence[Part], *, accepted: bool) -> Reviews:
    """The answers that change the result of a stage.

    Args:
        parts: The parts that it reads: "shots", verdicts on "images", corrected "tags" of images and videos.
        accepted: Whether accepted items are treated differently from items without a verdict.
    """
    counting = (REJECT, ACCEPT) if accepted else (REJECT,)
    shots: dict[str, Answer] = {}
    files: dict[str, Answer] = {}
    sizes = set()
    for key, (subject, given) in history.answers.items():
        answer = given if given.verdict in counting else replace(given, verdict=None)
        if subject.kind == "shot":
            if answer and "shots" in parts:
                shots[key] = answer
            continue
        if subject.kind != "image" or "images" not in parts:
            answer = replace(answer, verdict=None)
        if "tags" not in parts:
            answer = replace(answer, tags=None)
        if answer:
            files[key] = answer
            sizes.add(subject.size)
    return Reviews(shots, files, frozenset(sizes))
