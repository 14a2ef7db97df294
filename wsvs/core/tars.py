"""Files inside tar archives: written one after the other, read by their place with one seek."""

from __future__ import annotations

import os
import tarfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from wsvs.core.files import explain_os_error

_BLOCK = 512  # bytes: contents of a tar begin and end at multiples of it


@dataclass(frozen=True)
class Member:
    """A file inside a tar archive, which is read like a path to a file.

    Attributes:
        tar: The archive.
        name: Of the file in it.
        offset, size: Place of its content, in bytes; of size 0 is a file that does not exist.
    """

    tar: Path
    name: str
    offset: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.tar}/{self.name}"

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def is_file(self) -> bool:
        return self.size > 0 and self.tar.is_file()

    def read_bytes(self) -> bytes:
        """Raises `FileNotFoundError` as a path does, and `OSError` if the archive is too short."""
        if self.size == 0:
            raise FileNotFoundError(str(self))
        with self.tar.open("rb") as stream:
            stream.seek(self.offset)
            data = stream.read(self.size)
        if len(data) < self.size:
            raise OSError("the archive is truncated")
        return data


File = Path | Member


class _Content(BytesIO):
    """The content of a member, which decoders name in their messages."""

    def __init__(self, member: Member) -> None:
        super().__init__(member.read_bytes())
        self.member = member

    def __repr__(self) -> str:
        return repr(self.member.name)


def opened(file: str | File) -> str | Path | BytesIO:
    """What libraries read: a path, or the content of a member."""
    return _Content(file) if isinstance(file, Member) else file


class TarFile:
    """A new archive, under a temporary name until it is placed. Equal contents give equal bytes.

    Args:
        folder: Where the temporary file is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f".tmp-{uuid.uuid4().hex}.tar"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("xb")
        except OSError as error:
            raise explain_os_error(error, folder) from error
        self._tar = tarfile.open(fileobj=self._stream, mode="w")  # noqa: SIM115

    def add(self, name: str, data: bytes) -> Sequence[int]:
        """Returns (offset, size) of the content."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        try:
            self._tar.addfile(info, BytesIO(data))
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        return self._tar.offset - -(-info.size // _BLOCK) * _BLOCK, info.size

    def place(self, path: Path) -> None:
        """Complete the archive and give it its name. It is on the disk when this returns."""
        try:
            self._tar.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.path, path)
        except OSError as error:
            raise explain_os_error(error, path) from error
