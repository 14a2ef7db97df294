"""The notebooks and the README's picture, made from a finished run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wsvs.core.files import read_json, read_jsonl

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, space: dict[str, Any]) -> Any:
    """Run a cell and return what a notebook would show below it: the value of a last line that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), space)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), space)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), space)


def run_notebook(name: str, runs: Path) -> tuple[list[Image.Image], dict[str, Any]]:
    """The pictures that a notebook shows of some runs, which it leaves as they are, and its variables."""
    before = contents(runs)
    space: dict[str, Any] = {"RUNS": str(runs)}
    cells = code_cells(ROOT / "notebooks" / f"{name}.ipynb")[1:]
    pictures = [shown for cell in cells if isinstance(shown := run_cell(cell, space), Image.Image)]
    for picture in pictures:
        assert picture.width <= 1120
    assert contents(runs) == before
    return pictures, space


def colours(picture: Image.Image) -> int:
    return len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0))


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@every
def test_notebook_is_committed_without_outputs(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
    assert notebook.stat().st_size < 12_000


@every
def test_notebook_names_the_runs_first_and_trains_nothing(notebook):
    cells = code_cells(notebook)
    assert cells[0] == 'RUNS = "outputs/toy"'
    assert not re.search(r"\b(fit|backward|optimizer|Trainer|write_\w+|mkdir|unlink)\b", " ".join(cells))


@pytest.mark.slow
def test_retrieval(tiny_runs, capsys):
    [bars, clips], space = run_notebook("retrieval", tiny_runs)
    said = capsys.readouterr().out
    counts = {stage: summary_counts(tiny_runs, stage) for stage in ("retrieve", "relevance", "segment")}
    left = {step: sum(numbers) for step, numbers in space["left"].items()}
    assert left == {
        "downloaded": counts["retrieve"]["frames"], "relevant": counts["relevance"]["relevant frames"],
        "segmented": counts["segment"]["frames"],
    }
    assert re.search(rf"all\s+{counts['retrieve']['candidates']}\s", said) and "source: folder" in said
    assert "thumbnails      0 scored" in said
    assert colours(bars) > 3 and colours(clips) > 200


@pytest.mark.slow
def test_attention(tiny_runs, capsys):
    pictures, space = run_notebook("attention", tiny_runs)
    assert len(pictures) == 4 and min(map(colours, pictures)) > 3 and colours(pictures[-1]) > 200
    clips = list(read_jsonl(next(tiny_runs.glob("relevance/*/clips.jsonl"))))
    assert sum(len(scores) for scores in space["by_class"].values()) == sum(
        clip["stop"] - clip["start"] for clip in clips
    )
    scores = space["scores"][space["chosen"]]
    assert (np.diff(scores) <= 0).all() and scores[0] == space["scores"].max() and scores[-1] == space["scores"].min()
    assert "kept: " in capsys.readouterr().out


@pytest.mark.slow
def test_mask(tiny_runs, capsys):
    pictures, _ = run_notebook("mask", tiny_runs)
    assert len(pictures) == 3 and min(map(colours, pictures)) > 200
    said = capsys.readouterr().out
    assert "100.0% of the pixels are labelled as in the run" in said  # the terms shown are those of the run's mask
    assert re.search(r"^  total +[\d.]+$", said, re.MULTILINE)


@pytest.mark.slow
def test_errors(tiny_runs, capsys):
    [squares, worst], space = run_notebook("errors", tiny_runs)
    said = capsys.readouterr().out
    shares = space["shares"].sum(1)
    assert np.allclose(shares[shares > 0], 1) and colours(squares) > 5 and colours(worst) > 200
    assert said.count(" is called ") == 5 and said.count("missed") == len(space["names"])
    metrics = read_json(space["last"] / "metrics.json")
    of_images = {space["names"][label]: found for label, found in space["by_label"].items()}
    for name, found in of_images.items():  # one image by itself is what stage evaluate calls the IoU of its class
        assert all(0 <= iou <= 1 for iou, _ in found) and name in metrics["iou"]


def test_errors_of_one_image_by_hand(tmp_path):
    """2 of 3 true pixels are found, one is too much and one is void: IoU 2/4."""
    [cell] = [cell for cell in code_cells(ROOT / "notebooks" / "errors.ipynb") if "def ious" in cell]
    function = cell[cell.index("def ious") : cell.index("by_label = {}")]
    space: dict[str, Any] = {"np": np, "IGNORE": 255}
    exec(function, space)
    assert space["ious"](np.array([[1, 1, 0, 1, 1]]), np.array([[1, 1, 1, 0, 255]])) == {1: 0.5}


def summary_counts(runs: Path, stage: str) -> dict[str, Any]:
    return max((read_json(path) for path in runs.glob(f"{stage}/*/summary.json") if "-by-" not in str(path)),
               key=lambda summary: summary["finished"])["counts"]


@pytest.mark.slow
def test_picture_is_drawn_from_a_finished_run(tiny_runs, tmp_path):
    before = contents(tiny_runs)
    out = tmp_path / "toy.png"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", tiny_runs, out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "100.0% of the pixels are as the run labelled them" in done.stdout
    with Image.open(out) as picture:
        assert 1000 <= picture.width <= 1120
    assert out.stat().st_size < 300_000
    assert contents(tiny_runs) == before


@pytest.mark.slow
def test_picture_without_runs_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", tmp_path / "none", tmp_path / "toy.png"], capture_output=True,
        text=True, check=False,
    )
    assert done.returncode == 1
    assert "no finished run of stage adapt" in done.stderr
    assert "Traceback" not in done.stderr
