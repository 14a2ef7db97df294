"""Run the notebooks and store their outputs in them: make notebooks RUNS=outputs/toy

Images are stored with 128 colours, and each notebook has the digest of the code that was run: a test compares it, so
that outputs do not outlive their code. A notebook whose digest is right is left as it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
ALONE = "first"  # makes its own data; the others show the finished runs
COLOURS = 128


def main(runs: str, *names: str) -> None:
    """All notebooks, or those of these names."""
    place = Path(runs).resolve().parents[1]  # of outputs/toy: where the pipeline was started
    for path in [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if notebook.metadata.get("executed") == digest(notebook):
            print(f"{path.name}: up to date")
            continue
        with tempfile.TemporaryDirectory() as empty:
            where = empty if path.stem == ALONE else str(place)
            NotebookClient(
                notebook, timeout=None, startup_timeout=900, resources={"metadata": {"path": where}}
            ).execute()
            tidy(notebook, where)
        notebook.metadata["executed"] = digest(notebook)
        temporary = path.with_suffix(".part")
        nbformat.write(notebook, temporary)
        os.replace(temporary, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def digest(notebook: Any) -> str:
    """Of the sources of the code cells."""
    return hashlib.sha256("\0".join(c.source for c in notebook.cells if c.cell_type == "code").encode()).hexdigest()


def tidy(notebook: Any, where: str) -> None:
    """Text in one piece, without colours and paths of this machine; small images."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        kept: list[Any] = []
        for output in cell.get("outputs", []):
            if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
                kept[-1].text += output.text
            else:
                kept.append(output)
        for output in kept:
            if "text" in output:
                output.text = re.sub(rf"{re.escape(where)}/?|\x1b\[[\d;]*m", "", output.text)
            if "image/png" in output.get("data", {}):
                output.data = {"image/png": smaller(output.data["image/png"])}
        if "outputs" in cell:
            cell.outputs = kept


def smaller(png: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(png))) as image, io.BytesIO() as stream:
        image.convert("RGB").quantize(COLOURS).save(stream, "PNG", optimize=True)
        return base64.b64encode(stream.getvalue()).decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
