"""Atomic writes, JSON and JSON lines. A file that exists under its own name is complete."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from wsvs.core.errors import UserError

Json: TypeAlias = "float | str | Sequence[Json] | Mapping[str, Json] | None"  # a value of a JSON file


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, else remove it.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept, because image and video libraries choose the format by it.
        # Not mkstemp, whose files are private: results follow the user's umask.
        temporary = path.parent / f".tmp-{uuid.uuid4().hex}{path.suffix}"
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def files_below(root: str | Path) -> Iterator[Path]:
    """All files below a folder, without hidden files and folders.

    Links to folders are followed. Each folder is visited once, at its path without links if it is below `root`.
    """
    seen: set[str] = set()
    starts = [Path(root)]
    while starts:
        links: list[Path] = []
        for base, folders, names in chain.from_iterable(map(os.walk, starts)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            real = os.path.realpath(base)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            links += [path for name in folders if (path := Path(base, name)).is_symlink()]
            yield from (Path(base, name) for name in names if not name.startswith("."))
        starts = links


def leads_out(name: str) -> bool:
    """Whether a name from a file is outside the folder that it is relative to."""
    return Path(name).is_absolute() or ".." in Path(name).parts


def explain_os_error(error: OSError, path: str | Path, key: str = "out") -> Exception:
    """Turn an operating-system error about `path` into a `UserError` if the user can fix it by the setting `key`."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if error.errno in full:
        return UserError(
            "no space left on the disk",
            where=path,
            remedy="free some space and run the same command again: finished results are kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return UserError(
            f"cannot write here ({error.strerror})",
            where=path,
            remedy=f"make the folder writable, or choose another with {key}=DIR",
        )
    if error.errno in (errno.EISDIR, errno.EBUSY) and Path(path).is_dir():
        return UserError("this is a folder, not a file", where=path, remedy="give the name of a file")
    return error


def link_file(path: Path, target: Path) -> None:
    """Hard link the file, or copy it with its time stamp, atomically."""
    status = path.stat()
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}{target.suffix}")  # a name of its own may be too long
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), temporary)
        except OSError:  # another disk, no support for links, or another user's file
            shutil.copyfile(path, temporary)
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(temporary, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)  # renaming onto a link of the same file does not remove it


def write_bytes(path: str | Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    write_bytes(path, text.encode())


def read_text(path: str | Path, problem: str = "not UTF-8 text", remedy: str = "save the file as UTF-8") -> str:
    """Read UTF-8 text. Raises `UserError` with this problem and remedy if the file is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{problem}: {error}", where=path, remedy=remedy) from error


def write_json(path: str | Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises `UserError` if it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("file not found", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"not a JSON file: {error}", where=path) from error


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line, and return their number."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield one object per line, without loading the whole file. Raises `UserError` with the line number."""
    path = Path(path)
    if not path.is_file():
        raise UserError("file not found", where=path)
    with path.open("rb") as stream:  # bytes, so that lines that are not UTF-8 are reported with their number
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"line {number} is not JSON: {error}", where=path) from error


def expand_pattern(given: Path) -> tuple[Path, list[Path]] | None:
    """(folder before the first wildcard, sorted matches); None without a wildcard.

    Brackets in the name of an existing folder are not wildcards.
    """
    parts = given.parts
    fixed = 0
    while fixed < len(parts) and (not glob.has_magic(parts[fixed]) or Path(*parts[: fixed + 1]).is_dir()):
        fixed += 1
    if fixed == len(parts):
        return None
    root = Path(*parts[:fixed])
    pattern = str(Path(glob.escape(str(root)), *parts[fixed:]))
    return root, [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
