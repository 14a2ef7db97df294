"""Journal of a retrieval: one line for each finished step, read when the run is resumed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error
from wsvs.records.retrieved import Candidate, FoundVideo, Outcome
from wsvs.retrieve.manifest import failure_of

JOURNAL = "journal.jsonl"
Key = tuple[str | None, str]  # class, id of the video


class Journal:
    """Append-only. An incomplete last line, of a start that was killed while writing, is removed.

    Attributes:
        begun: Time of the first start of the run, seconds since 1970.
        found: {class: candidates} of the classes that have been searched, in search order.
        into: {(class, video): candidates} that the URL of an opened candidate led to.
        thumbnails: {(class, video): score of its thumbnail, or how it ended there}.
        thumbnail_bytes: Bytes read for them.
        rows: {(class, video): row of the manifest} of finished candidates.
        reopened: Failed candidates that are tried again, with their rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = 0.0
        self.found: dict[str, list[Candidate]] = {}
        self.into: dict[Key, list[Candidate]] = {}
        self.thumbnails: dict[Key, Outcome] = {}
        self.thumbnail_bytes = 0
        self.rows: dict[Key, FoundVideo] = {}
        self.reopened: dict[Key, Outcome | FoundVideo] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            self._stream = path.open("r+b" if content else "wb")
            self._stream.truncate(len(whole))
            self._stream.seek(len(whole))
        except OSError as error:
            raise explain_os_error(error, path) from error
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"line {number} of the journal is damaged", where=path, remedy="start again with resume=false"
                ) from error
        if not self.begun:
            self._add({"begun": time.time()})

    def candidates(self, class_name: str) -> list[Candidate]:
        """Candidates of a class in order, each URL replaced by the videos it led to; each video once."""
        found: dict[str, Candidate] = {}
        waiting = self.found[class_name][::-1]
        while waiting:
            one = waiting.pop()
            into = self.into.get((class_name, one.video))
            if one.known or into is None:
                found.setdefault(one.video, one)
            else:
                waiting += into[::-1]
        return list(found.values())

    def reopen(self, kinds: Collection[str]) -> int:
        """Reset failures of these kinds, so that they are tried again; returns their number."""
        count = 0
        for results in (self.thumbnails, self.rows):
            again = [key for key, result in results.items() if failure_of(result) in kinds]
            if "budget" not in kinds:
                self.reopened |= {key: results[key] for key in again}
            for key in again:
                del results[key]
            count += len(again)
        return count

    def searched(self, class_name: str, found: Sequence[Candidate]) -> None:
        self._add({"searched": class_name, "found": [candidate.to_json() for candidate in found]})

    def opened(self, class_name: str, candidate: Candidate, into: Sequence[Candidate]) -> None:
        """Record what a URL led to: one video, or the videos of a list."""
        self._add({"opened": class_name, "video": candidate.video, "into": [one.to_json() for one in into]})

    def looked(self, class_name: str, results: Mapping[str, Outcome], count: int) -> None:
        """Record the thumbnails of some candidates {video: result}, and the bytes read for them."""
        found = {video: result.to_json() for video, result in results.items()}
        self._add({"looked": class_name, "results": found, "bytes": count})

    def through(self, row: FoundVideo) -> None:
        self._add({"row": row.to_json()})

    def close(self) -> None:
        self._stream.close()

    def _add(self, entry: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            with suppress(OSError):  # data that could not be written stays in the buffer, and would fail again
                self._stream.close()
            raise explain_os_error(error, self.path) from error
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        if "begun" in entry:
            self.begun = entry["begun"]
        elif "searched" in entry:
            self.found[entry["searched"]] = [Candidate.from_json(one) for one in entry["found"]]
        elif "opened" in entry:
            self.into[entry["opened"], entry["video"]] = [Candidate.from_json(one) for one in entry["into"]]
        elif "looked" in entry:
            found = {video: Outcome.from_json(result) for video, result in entry["results"].items()}
            self.thumbnails |= {(entry["looked"], video): result for video, result in found.items()}
            self.thumbnail_bytes += entry["bytes"]
        else:
            row = FoundVideo.from_json(entry["row"])
            self.rows[row.class_name, row.video] = row
