"""Stage retrieve: collect the clips of each class and the manifest that says where they came from (section 4)."""

from __future__ import annotations

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl
from wsvs.retrieve.folder import FolderSource, retrieve_folder
from wsvs.retrieve.manifest import FAILED, MANIFEST
from wsvs.stages._lightning import build_data
from wsvs.stages._run import Run, rank
from wsvs.video.reader import probe

NEEDS: tuple[str, ...] = ()
SECTIONS = ("data", "retrieve")


def run(run: Run) -> None:
    cfg = run.cfg
    if rank() != 0:
        return
    data = build_data(cfg)
    if not cfg.retrieve.root:
        raise UserError("no folder of videos", where="retrieve.root", remedy="give retrieve.root=DIR")
    source = FolderSource(cfg.retrieve.root, cfg.retrieve.labels)
    counts = retrieve_folder(source, data.class_list, run.dir, probe=probe, foreign=cfg.retrieve.foreign)
    if not counts["retrieved"]:
        raise UserError(
            "no video of any class", where=run.dir / MANIFEST,
            remedy="the manifest says of each video why it was left out; check retrieve.labels and data.classes",
        )
    for row in read_jsonl(run.dir / MANIFEST):
        if row["status"].startswith(FAILED):
            run.skip(row["video"], row["status"])
    by_class = {name: count for name, count in counts.pop("retrieved_by_class").items() if count}
    run.finish(counts={**counts, "by class": by_class}, wrote=run.dir / MANIFEST)
