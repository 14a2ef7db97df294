"""A stage that is not part of the package: the one of docs/extending.md, as a plugin and as an installed package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pages import write_files
from wsvs.core.files import read_json, write_json, write_jsonl
from wsvs.core.masks import write_mask

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
PLUGIN = ("stage=areas", "plugins=[my_stage]", "name=n")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The page's files, and a finished run of stage predict: masks of a quarter and of all of the image."""
    write_files(PAGE, tmp_path)
    run = tmp_path / "outputs" / "n" / "predict" / "r"
    write_mask(run / "a.png", np.array([[0, 0], [0, 2]], np.uint8))
    write_mask(run / "b.png", np.ones((2, 2), np.uint8))
    write_jsonl(run / "items.jsonl", [{"id": "a", "file": "a.jpg"}, {"id": "b", "file": "b.jpg"}])
    write_json(run / "summary.json", {"finished": 1.0, "counts": {}, "results": {}})
    return tmp_path


def run(cli, world: Path, *words: str, status: int = 0) -> str:
    return cli.run(*words, cwd=world, status=status, PYTHONPATH=f"{world}:{cli.root}")


def summaries(world: Path) -> list[dict]:
    return [read_json(path) for path in sorted((world / "outputs/n/areas").glob("*/summary.json"))]


@pytest.mark.slow
def test_a_plugin_stage_runs_skips_and_finishes(cli, world):
    said = run(cli, world, *PLUGIN, status=3)
    [summary] = summaries(world)
    assert summary["counts"] == {"masks": 1, "skipped items": 1} and summary["results"]["mean area"] == 0.25
    assert "its mask covers 100% of the image" in said and "next: wsvs stage=report" in said
    assert summary["inputs"] == {"predict": str(world / "outputs/n/predict/r")}


@pytest.mark.slow
def test_its_settings_are_checked_listed_and_swept(cli, world):
    said = run(cli, world, *PLUGIN, "areas.largest=2", status=2)
    assert "areas.largest must be a number in [0, 1], got 2" in said and "the command line: areas.largest=2" in said
    assert "did you mean areas.largest?" in run(cli, world, *PLUGIN, "areas.larges=1", status=2)
    helped = run(cli, world, *PLUGIN, "--help")
    assert "areas.largest" in helped and "images whose mask covers more are skipped" in helped
    table = run(cli, world, "-m", *PLUGIN, "areas.largest=0.5,1", status=3)
    assert "by mean area, highest first" in table


@pytest.mark.slow
def test_an_installed_stage_needs_no_plugins(cli, world):
    code = (world / "my_stage.py").read_text().replace('STAGES["areas"] = ', "STAGE = ")
    (world / "my_stage.py").write_text(code)
    info = world / "my_stage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-stage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wsvs.stages]\nareas = my_stage:STAGE\n")
    run(cli, world, "stage=areas", "name=n", "areas.largest=1")
    assert summaries(world)[0]["counts"]["masks"] == 2
    assert "areas" in run(cli, world, "--help")
    pipeline = "pipeline.steps=[{stage: areas, set: ['areas.largest=1']}]"
    run(cli, world, "stage=pipeline", "name=n", "data.root=outputs", pipeline, "inputs.predict=outputs/n/predict/r")


def test_a_stage_that_is_not_there_names_those_that_are(cli, world):
    said = run(cli, world, "stage=area", status=2)
    assert "areas" not in said and "encoder" in said
