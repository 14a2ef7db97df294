"""What a code makes of small inputs, as digests: two codes that give the same file do the same, to the bit.

    python -m benchmarks.identity before.json --real FOLDER --code OTHER_CHECKOUT
    python -m benchmarks.identity after.json --real FOLDER --against before.json

The smallest synthetic pipeline (masks, checkpoints, figures) and, with --real, the masks of the first two videos of a
folder, segmented by `experiment=motion`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from wsvs.core.masks import read_mask

TINY = (
    "stage=pipeline",
    "name=n",
    "data=synthetic",
    "trainer=cpu",
    "data.world.images=24",
    "data.world.clips_per_class=2",
    "model=vgg_small",
    "model.image_size=64",
    "encoder.epochs=2",
    "relevance.threshold=0",
    "decoder.steps=8",
    "decoder.val_every=4",
    "adapt.steps=8",
    "adapt.val_every=4",
    "adapt.background=0.1",
    "pipeline.checks=null",
)
SECONDS = ("fingerprint", "seconds", "ms per frame", "_s", "/s", "data_wait")  # of results that are no figures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="where the digests are written")
    parser.add_argument("--real", type=Path, help="folder with videos <name>.mp4")
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[1], help="checkout to run (default: this)")
    parser.add_argument("--against", type=Path, help="digests to compare with; the exit status says whether all agree")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        run(arguments.code, folder, *TINY)
        if arguments.real:
            videos = ",".join(map(str, sorted(arguments.real.glob("*.mp4"))[:2]))
            run(arguments.code, folder, "stage=segment", "experiment=motion", "name=real", f"videos=[{videos}]")
        found = dict(digests(Path(folder, "outputs")))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if arguments.against:
        sys.exit(compare(json.loads(arguments.against.read_text(encoding="utf-8")), found))


def run(code: Path, folder: str, *words: str) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("WSVS_RUN")}
    own |= {"PYTHONPATH": str(code.resolve()), "OMP_NUM_THREADS": "1", "WSVS_RUN_ID": "r"}
    done = subprocess.run([sys.executable, "-P", "-m", "wsvs", *words], cwd=folder, env=own, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.returncode)


def digests(outputs: Path) -> Iterator[tuple[str, str]]:
    """(name, digest) of the pixels of all masks of a folder, of each network's weights, and of each stage's figures."""
    for folder in sorted({path.parent for path in outputs.rglob("*.png") if "overlay" not in path.parts}):
        masks = [read_mask(path) for path in sorted(folder.glob("*.png"))]
        yield f"masks {folder.relative_to(outputs)}", _digest(*masks)
    for path in sorted(outputs.rglob("best.ckpt")):
        state = torch.load(path, weights_only=True)["state_dict"]
        weights = [value.numpy() for _, value in sorted(state.items())]
        yield f"weights {path.relative_to(outputs)}", _digest(*weights)
    for path in sorted(outputs.rglob("summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: value for key, value in summary["results"].items() if not any(word in key for word in SECONDS)}
        said = json.dumps([summary["counts"], figures], sort_keys=True)
        yield f"figures {path.parent.relative_to(outputs)}", hashlib.sha256(said.encode()).hexdigest()


def _digest(*arrays: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Print what differs. Returns the exit status: 0 where nothing does."""
    other = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    for name in other:
        print(f"differs: {name}")
    print(f"{len(after) - len(other)} of {len({*before, *after})} agree")
    return 1 if other else 0


if __name__ == "__main__":
    main()
