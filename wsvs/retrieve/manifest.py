"""The manifest of a retrieval: one JSON line for each candidate video, with its status and clips.

    {"video": "dQw4w9WgXcQ", "class": "cat", "query": "cat", "rank": 3, "url": "https://...", "title": "...",
     "uploader": "...", "licence": null, "duration": 61.2, "thumbnail_score": 0.93, "thumbnail_passed": true,
     "status": "retrieved", "failure": null, "identity": "youtube dQw4w9WgXcQ", "sha256": "...", "bytes": 81234,
     "width": 640, "height": 360, "fps": 25.0, "frames": 1530,
     "key_frames": [{"time": 10.0, "score": 0.97, "chosen": true}, ...], "distractor": false,
     "clips": [{"clip": "cat/dQw4w9WgXcQ_0", "path": "clips/cat/dQw4w9WgXcQ_0.mp4", "class": "cat", "start": 25,
                "stop": 126, "frames": 130, "offset": 175, "time": [8.0, 12.0], "url": "https://...",
                "distractor": false}]}

`status` is "retrieved", "skipped: <reason>" or "failed: <reason>", with details of a reason in brackets at its end.
`failure` is the kind of a failure (`wsvs.retrieve.source.Kind`). Rows of the same `identity` (site and id) or the
same `sha256` are of the same video, possibly with different URLs. Unknown values are null. Times are seconds from the
video's first frame. `path` is relative to the manifest. `start` and `stop` are frame numbers inside the clip's own
file: a clip that was cut from a video starts with the key frame before its window, and only the frames [start, stop)
belong to it. `offset` is the number of the file's first frame in the video, `frames` the number of frames in the
file; a clip without them is the whole video. `damaged`, if present, has the spans [start, stop) of frames in the file
that could not be decoded completely.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl
from wsvs.records.shots import Clip

MANIFEST = "manifest.jsonl"
RETRIEVED = "retrieved"
SKIPPED, FAILED = "skipped", "failed"
_LONGEST_NAME = 100  # file systems allow 255 bytes; later stages add to the name
_OF_THE_VIDEO = ("video", "title", "licence", "width", "height", "fps", "frames", "sha256")

Row = dict[str, Any]


def new_row(video: str, class_name: str | None, url: str, title: str | None = None) -> Row:
    """The row of a candidate with unknown values."""
    return {
        "video": video,
        "class": class_name,
        "query": None,
        "rank": None,
        "url": url,
        "title": title,
        "uploader": None,
        "licence": None,
        "duration": None,
        "thumbnail_score": None,
        "thumbnail_passed": None,
        "status": None,
        "failure": None,
        "identity": None,
        "sha256": None,
        "bytes": None,
        "width": None,
        "height": None,
        "fps": None,
        "frames": None,
        "key_frames": [],
        "distractor": False,
        "clips": [],
    }


def skip(row: Row, reason: str) -> Row:
    """The row of a video that was skipped on purpose."""
    return {**row, "status": f"{SKIPPED}: {one_line(reason)}"}


def fail(row: Row, reason: str, kind: str = "unusable") -> Row:
    """The row of a video that failed."""
    return {**row, "status": f"{FAILED}: {one_line(reason)}", "failure": kind}


def failure_of(row: Row) -> str | None:
    """Kind of a row's failure, if it is one; runs of earlier versions did not record it."""
    status = str(row.get("status") or "")
    old = "unknown" if status.startswith(FAILED) else "budget" if status.endswith(" was reached") else None
    failure: str | None = row.get("failure")
    return failure or old


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
    for number, row in enumerate(read_jsonl(manifest), 1):
        try:
            shared = {key: row[key] for key in _OF_THE_VIDEO} | {"identity": row.get("identity")}  # not in old ones
            clips = row["clips"] if row["status"] == RETRIEVED else []
        except (KeyError, TypeError) as error:
            raise UserError(
                f"row {number} is not a row of a manifest (no {error})",
                where=manifest,
                remedy="run stage=retrieve again",
            ) from error
        for clip in clips:
            file = str(Path(manifest).parent / clip["path"])
            yield Clip.from_json({"offset": 0, **shared, **clip, "id": clip["clip"], "file": file})
