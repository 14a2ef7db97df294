"""Find the videos given by the user: a folder, a file, a pattern, or a list of these."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from wsvs.core.errors import UserError
from wsvs.core.files import expand_pattern, files_below
from wsvs.core.frame_folders import SUFFIXES, FrameFolder, find_frames
from wsvs.core.video_files import why_not_video

SHOWN = 5  # listed names of unsupported files
Given = str | Path | Sequence[str | Path]


@dataclass
class Found:
    """Found videos.

    Attributes:
        root: Common parent folder.
        videos: Files, and folders of numbered images; absolute, sorted.
        unread: {file or folder: why it is not a video}.
    """

    root: Path
    videos: list[Path] = field(default_factory=list)
    unread: dict[Path, str] = field(default_factory=dict)

    def not_read(self, own: Iterable[Path] = ()) -> str:
        """A text with the number of files that are not videos, their kinds and first names; '' if there are none.

        Args:
            own: Files with another purpose, such as the table of classes.
        """
        skipped = {path.resolve() for path in own}
        left = {path: kind for path, kind in self.unread.items() if path.resolve() not in skipped}
        if not left:
            return ""
        kinds = ", ".join(f"{kind}: {count}" for kind, count in Counter(left.values()).most_common())
        names = [path.relative_to(self.root).as_posix() for path in left]
        shown = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        return f"files that are not videos ({kinds}): {shown}"


def find_videos(given: Given, key: str) -> Found:
    """All videos in a folder (recursively), a file, a pattern with * ? [ ], or a list of these.

    A file is a video by its suffix or by its content; a folder of numbered images is one video.

    Args:
        given: Where to look. Names below a folder that begin with a dot are left out.
        key: The setting, for messages.

    Raises:
        UserError: Nothing there, or no video.
    """
    entries = [given] if isinstance(given, str | Path) else list(given)
    parts = [_look_for(str(entry), key) for entry in entries]
    if not parts:
        raise UserError("no folder of videos", where=key, remedy=f"give {key}=DIR, a file, a pattern or a list")
    root = parts[0].root if len(parts) == 1 else Path(os.path.commonpath([part.root for part in parts]))
    videos = sorted({video for part in parts for video in part.videos})
    unread = {path: kind for part in parts for path, kind in part.unread.items() if path not in videos}
    found = Found(root, videos, unread)
    if not videos:
        said = found.not_read()
        raise UserError(
            f"no video in this folder{f': {said}' if said else ''}",
            where=root,
            remedy="put files there that FFmpeg can read as videos (mp4, mkv, webm, mov, avi, ...), or folders of "
            "numbered images (00000.jpg, 00001.jpg, ...)",
        )
    return found


def _look_for(given: str, key: str) -> Found:
    path = Path(given).absolute()
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        if (kind := why_not_video(path)) is not None:
            raise UserError(
                f"not a video ({kind})", where=f"{key}={given}", remedy="give a video, or a folder of numbered images"
            )
        return Found(path.parent, [path])
    expanded = expand_pattern(path)
    if expanded is None:
        raise UserError(
            "folder of videos not found",
            where=given,
            remedy="check the path: a folder, a file, a pattern such as 'videos/*.mp4', or a list of these "
            f"('{key}=[a.mp4,more/]'); put quotes around a name with spaces, brackets or commas: '{key}=\"a (1).mp4\"'",
        )
    root, matches = expanded
    found = Found(root)
    below = [_look_for(str(match), key) if match.is_dir() else _file(match) for match in matches]
    for one in below:
        found.videos += one.videos
        found.unread |= one.unread
    if not matches:
        raise UserError("no video matches this pattern", where=f"{key}={given}", remedy="check the pattern")
    return found


def _file(path: Path) -> Found:
    kind = why_not_video(path)
    return Found(path.parent, [path]) if kind is None else Found(path.parent, [], {path: kind})


def _in_folder(root: Path) -> Found:
    """Everything below a folder. A folder of frames is found below its parent."""
    found = Found(root)
    for folder, files in groupby(files_below(root), key=lambda path: path.parent):
        paths = list(files)
        images = [path for path in paths if path.suffix.lower() in SUFFIXES]
        before = len(found.videos)
        for path in paths:
            if path.suffix.lower() not in SUFFIXES:
                _sort_in(found, path)
        frames = find_frames(folder, [path.name for path in images]) if images else "no images"
        if isinstance(frames, FrameFolder) and len(found.videos) == before:
            found.videos.append(folder)
            used = set(frames.frames.values())
            found.unread |= {path: "an image that is no frame" for path in images if path not in used}
            continue
        for path in images:
            _sort_in(found, path, frames if isinstance(frames, str) else "images beside videos")
    if found.videos == [root]:
        found.root = root.parent
    return found


def _sort_in(found: Found, path: Path, kind: str | None = None) -> None:
    reason = why_not_video(path)
    if reason is None:
        found.videos.append(path)
    else:
        found.unread[path] = kind or reason
