"""Stage data: prepare and check a data set; of one's own images and videos, say what is usable."""

from __future__ import annotations

from hydra.utils import instantiate

from wsvs.core.errors import UserError
from wsvs.core.files import write_json
from wsvs.core.progress import follow
from wsvs.core.words import counted
from wsvs.data.own import check_tagged
from wsvs.data.tagged import TaggedImages
from wsvs.stages._data import Preparable, add_training, add_videos, print_report
from wsvs.stages._next import key_of
from wsvs.stages._run import Run, rank

NEEDS: tuple[str, ...] = ()
SECTIONS = ("data", "retrieve", "model", "frame_rate")


def run(run: Run) -> None:
    cfg = run.cfg
    if rank() != 0:
        return
    data = instantiate(cfg.data, _convert_="all")
    words: list[str] = []
    report = data.make(follow) if isinstance(data, Preparable) else check_tagged(data, follow)
    if isinstance(data, TaggedImages):
        if cfg.retrieve.source == "folder" and cfg.retrieve.root:
            add_videos(cfg, list(report.by_class), report, follow)
        words = add_training(cfg, {key_of(word) for word in run.overrides}, report)
    print_report(report)
    write_json(run.dir / "report.json", report.asdict())
    if report.fatal:
        first = report.fatal[0]
        raise UserError(
            f"{counted(len(report.fatal), 'fault|faults has|have')} to be mended first; {first.text}",
            where=first.where, remedy=first.remedy,
        )
    for problem in report.problems:
        for item in problem.items or (problem.where,):
            run.skipped.append({"item": item, "reason": problem.what})  # said above, all of one kind together
    run.finish(counts=report.counts, wrote=run.dir / "report.json", proposed=words)
