"""The notebook and the README's picture, made from a finished run."""

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

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "one_run.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
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


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
    assert NOTEBOOK.stat().st_size < 30_000


def test_notebook_names_the_runs_first_and_trains_nothing():
    cells = code_cells()
    assert cells[0] == 'RUNS = "outputs/toy"'
    words = " ".join(cells)
    assert not re.search(r"\b(fit|backward|optimizer|Trainer|write_\w+|mkdir|unlink)\b", words)


@pytest.mark.slow
def test_notebook_runs_on_a_finished_run(tiny_runs, capsys):
    before = contents(tiny_runs)
    space: dict[str, Any] = {"RUNS": str(tiny_runs)}
    pictures = [shown for cell in code_cells()[1:] if isinstance(shown := run_cell(cell, space), Image.Image)]
    assert len(pictures) == 5
    for picture in pictures:
        assert 1000 <= picture.width <= 1120
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 200
    said = capsys.readouterr().out
    assert "100.0% of the pixels are labelled as in the run" in said  # the terms shown are those of the run's mask
    shares = space["shares"].sum(1)
    assert np.allclose(shares[shares > 0], 1)
    assert len(said.splitlines()) > 20
    assert contents(tiny_runs) == before


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
