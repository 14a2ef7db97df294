"""Clip files: put in place whole, and told apart by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from wsvs.core.files import explain_os_error


def digest_file(path: Path) -> tuple[str, int]:
    """(SHA-256 in hexadecimal, number of bytes)."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def place_clip(path: Path, target: Path) -> None:
    """Hard link the file there, or copy it with its time stamp. It is whole under its own name or not there."""
    status = path.stat()
    temporary = target.with_name(f".tmp-{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), temporary)
        except OSError:  # another disk, a file system without links, or somebody else's file
            shutil.copyfile(path, temporary)
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(temporary, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)  # a rename onto a link of the same file leaves it behind
