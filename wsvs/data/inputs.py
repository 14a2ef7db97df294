"""Input files of stage predict: a folder, one file, or a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from wsvs.core.errors import UserError
from wsvs.core.files import expand_pattern
from wsvs.core.video_files import EXTENSIONS as VIDEO_EXTENSIONS
from wsvs.data.images import EXTENSIONS

VIDEOS = tuple(extension for extension in VIDEO_EXTENSIONS if extension not in EXTENSIONS)  # a GIF counts as an image

T = TypeVar("T")


def find_files(given: str) -> tuple[Path, dict[str, Path | None] | None]:
    """Root and {id: file} of an image, a video or a pattern with * ? [ ] (** looks into folders too).

    An id is the file's path below the root, without its extension; the root is the last folder without a wildcard.
    For a folder, {id: file} is None: the caller lists it.

    Raises:
        UserError: Nothing found, or it is neither an image nor a video.
    """
    try:
        return _look_for(given)
    except OSError as error:  # the name is too long, or a folder is not accessible
        raise UserError(
            f"cannot access the input ({error.strerror})", where=f"input={given[:200]}", remedy="check the path"
        ) from error


def _look_for(given: str) -> tuple[Path, dict[str, Path | None] | None]:
    path = Path(given)
    if path.is_dir():
        return path, None
    kinds = f"images end in {', '.join(EXTENSIONS)}; videos in {', '.join(VIDEOS)}"
    if path.is_file():
        if path.suffix.lower() not in (*EXTENSIONS, *VIDEOS):
            raise UserError("neither an image nor a video", where=f"input={given}", remedy=kinds)
        return path.parent, {path.stem: path}
    expanded = expand_pattern(path)
    if expanded is None:
        raise UserError(
            "no such image, video or folder",
            where=f"input={given}",
            remedy="check the path; put quotes around one with spaces, brackets or commas: 'input=\"my cat (1).jpg\"'",
        )
    root, matches = expanded
    files = [match for match in matches if not match.is_dir() and match.suffix.lower() in (*EXTENSIONS, *VIDEOS)]
    if not files:
        raise UserError("no image or video matches this pattern", where=f"input={given}", remedy=kinds)
    found = by_id(root, files)
    videos = {name for name, match in found.items() if match.suffix.lower() in VIDEOS}
    for name in found:
        if any(parent.as_posix() in videos for parent in Path(name).parents):
            raise UserError(
                "the masks of a video and of a folder with the same name would be mixed",
                where=found[name].parent,
                remedy="rename the folder, or run two commands with a pattern each",
            )
    return root, dict(found)


def by_id(root: Path, files: Iterable[Path]) -> dict[str, Path]:
    """{id: file}; an id is the path below the root without its extension.

    Raises:
        UserError: Two files would have the same mask file.
    """
    return without_clash((str(path.relative_to(root).with_suffix("")), path) for path in files)


def without_clash(named: Iterable[tuple[str, T]]) -> dict[str, T]:
    """{id: file} of pairs. Raises `UserError` if two pairs have the same id, and so the same mask file."""
    seen: dict[str, T] = {}
    for name, path in named:
        if name in seen:
            raise UserError(
                f"two images would both give {name}.png",
                where=f"{seen[name]} and {path}",
                remedy="rename one of them",
            )
        seen[name] = path
    return seen
