"""Reads back what W&B wrote offline: run-<id>.wandb, a LevelDB log (blocks of 32 KiB, chunks) of protobuf messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def records(path: Path) -> Iterator[Any]:
    """Every record of the file, in order."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, message = path.read_bytes(), HEADER, b""  # the file begins with a header of its own
    while place + HEADER <= len(content):
        if place % BLOCK > BLOCK - HEADER:  # no chunk begins in the last bytes of a block
            place += -place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        message += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(message)
            message = b""


class Written:
    """One offline run.

    Attributes:
        path: The file.
        run: Record of the run: project, run_group, job_type, run_id, tags, ...
        config: {key: value}, without W&B's own.
        panels: Plots, {key: their description}.
        labels: Class names, {key of the media + "_wandb_delimeter_" + mask: {label: name}}.
        history: One dict for each line of metrics; media as W&B's JSON.
        summary: {key: last value}.
        artifacts: Records, those that are used and those that are made.
        exit_code: None where the run did not end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: Any = None
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.artifacts: list[Any] = []
        self.exit_code: int | None = None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = self.run or record.run
                _merge(self.config, record.run.config.update)
            elif kind == "config":
                _merge(self.config, record.config.update)
            elif kind == "history":
                self.history.append(_merge({}, record.history.item))
            elif kind == "summary":
                _merge(self.summary, record.summary.update)
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code
        own = self.config.pop("_wandb", {})
        self.panels = own.get("visualize", {})
        self.labels = {key: one["value"] for key, one in own.get("mask/class_labels", {}).items()}

    def made(self) -> dict[str, Any]:
        """{name: record} of the artifacts that the run made, W&B's own for tables left out."""
        return {one.name: one for one in self.artifacts if not one.use_after_commit and one.type != "run_table"}

    def used(self) -> dict[str, Any]:
        return {one.name: one for one in self.artifacts if one.use_after_commit}

    def logged(self, key: str) -> list[Any]:
        """What was logged under a key, in order."""
        return [line[key] for line in self.history if key in line]

    def file(self, name: str) -> Path:
        """A file of the run, by the path in a record of media."""
        return self.path.parent / "files" / name


def read(run: Path) -> Written:
    """The one W&B run of a run directory."""
    [path] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    return Written(path)


def _merge(into: dict[str, Any], items: Any) -> dict[str, Any]:
    """Put items into nested dicts."""
    for item in items:
        *above, last = item.nested_key or [item.key]
        place = into
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return into
