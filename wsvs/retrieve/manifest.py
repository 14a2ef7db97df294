"""The manifest of a retrieval: one JSON line for each candidate video, with its status and clips (`FoundVideo`).

{"video": "dQw4w9WgXcQ", "class": "cat", "query": "cat", "rank": 3, "url": "https://...", "title": "...",
 "uploader": "...", "licence": null, "duration": 61.2, "thumbnail_score": 0.93, "thumbnail_passed": true,
 "status": "retrieved", "failure": null, "identity": "youtube dQw4w9WgXcQ", "sha256": "...", "bytes": 81234,
 "width": 640, "height": 360, "fps": 25.0, "frames": 1530,
 "key_frames": [{"time": 10.0, "score": 0.97, "chosen": true}, ...], "distractor": false,
 "clips": [{"clip": "cat/dQw4w9WgXcQ_0", "path": "clips/cat/dQw4w9WgXcQ_0.mp4", "class": "cat", "start": 25,
            "stop": 126, "frames": 130, "offset": 175, "time": [8.0, 12.0], "url": "https://...",
            "distractor": false}]}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from wsvs.records.retrieved import FoundVideo, Outcome
from wsvs.records.shots import Clip

MANIFEST = "manifest.jsonl"
RETRIEVED = "retrieved"
SKIPPED, FAILED = "skipped", "failed"
_LONGEST_NAME = 100  # file systems allow 255 bytes; later stages add to the name
_OF_THE_VIDEO = ("video", "title", "licence", "width", "height", "fps", "frames", "sha256", "identity")

R = TypeVar("R", FoundVideo, Outcome)


def skip(row: R, reason: str) -> R:
    """The row of a video that was skipped on purpose."""
    return replace(row, status=f"{SKIPPED}: {one_line(reason)}")


def fail(row: R, reason: str, kind: str = "unusable") -> R:
    """The row of a video that failed."""
    return replace(row, status=f"{FAILED}: {one_line(reason)}", failure=kind)


def failure_of(row: FoundVideo | Outcome) -> str | None:
    """Kind of a row's failure, if it is one; runs of earlier versions did not record it."""
    status = row.status or ""
    old = "unknown" if status.startswith(FAILED) else "budget" if status.endswith(" was reached") else None
    return row.failure or old


def one_line(text: str) -> str:
    return " ".join(text.split())


def safe_name(text: str) -> str:
    """A file name for any id: ASCII letters, digits, '.', '_' and '-' are kept, all others become '_'.

    A changed name ends with a hash of the id, so that two ids never share a name.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text)
    name = re.sub(r"^\.", "_", name)[:_LONGEST_NAME]
    if name == text and name:
        return name
    return f"{name}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"


def iter_clips(manifest: str | Path) -> Iterator[Clip]:
    """Clips in the order of the manifest, each with what is known of its video.

    Raises:
        UserError: No manifest, or a line that is not a manifest row.
    """
    for row in FoundVideo.read(manifest):
        shared = {key: getattr(row, key) for key in _OF_THE_VIDEO}
        for clip in row.clips if row.status == RETRIEVED else ():
            file = str(Path(manifest).parent / clip.path)
            yield Clip.from_json({"offset": 0, **shared, **clip.to_json(), "id": clip.clip, "file": file})
