"""Do two objects stay two? Ids of `segment.instances` on short sequences of two textured discs.

python -m benchmarks.instances            the foreground is the true one: the ids alone are measured
python -m benchmarks.instances --cut      it is that of the graph cut, without attention (experiment=motion)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.segment import experiment
from wsvs.video.frame_graph import FrameGraph, describe_frames
from wsvs.video.instance_masks import id_maps, nodes_of
from wsvs.video.instances import track
from wsvs.video.segmentation import segment

HEIGHT, WIDTH, FRAMES, RADIUS = 120, 160, 40, 16
SETTINGS = experiment("motion").replaced(longest_edge=160, superpixels=400)


def _paths() -> dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]]:
    """{sequence: (x, y) of two discs in each frame}; the first is in front."""
    t = np.arange(FRAMES, dtype=float)

    def way(x: np.ndarray | float, y: np.ndarray | float) -> list[tuple[float, float]]:
        return list(zip(np.broadcast_to(x, t.shape).tolist(), np.broadcast_to(y, t.shape).tolist(), strict=True))

    there = np.abs(t - FRAMES / 2) * 3.2
    return {
        "side by side": (way(30 + 2 * t, 35), way(30 + 2 * t, 88)),
        "crossing": (way(20 + 3 * t, 55), way(140 - 3 * t, 64)),
        "hidden for some frames": (way(20 + 3 * t, 60), way(140 - 3 * t, 60)),
        "overtaking": (way(18 + 3.2 * t, 52), way(50 + 1.4 * t, 66)),
        "touching, then apart": (way(80 - 17 - there / 2, 60), way(80 + 16 + there / 2, 60)),
        "together at first": (way(60 - 0.7 * t, 60), way(90 + 1.2 * t, 60)),
        "leaves and comes back": (way(40 + 0.8 * t, 40), way(170 - 30 * np.cos(t / FRAMES * 2 * np.pi) * 1.6, 82)),
        "leaves behind the other": (way(50 + t, 60), way(100 + 2.5 * t, 60)),
    }


def sequences(seed: int = 0) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, (T, H, W, 3) uint8 frames, (T, H, W) uint8 true ids 1 and 2) of each sequence."""
    rng = np.random.default_rng(seed)
    ground = _texture(rng, (HEIGHT, WIDTH), (90, 120, 90))
    looks = [_texture(rng, (2 * RADIUS + 1, 2 * RADIUS + 1), (190, 110, 80)) for _ in range(2)]
    for name, ways in _paths().items():
        frames, ids = np.repeat(ground[None], FRAMES, axis=0), np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
        y, x = np.indices((HEIGHT, WIDTH))
        for number in (2, 1):
            for t, (left, top) in enumerate(ways[number - 1]):
                inside = np.hypot(x - left, y - top) <= RADIUS
                rows = np.clip(np.rint(y - top).astype(int) + RADIUS, 0, 2 * RADIUS)
                columns = np.clip(np.rint(x - left).astype(int) + RADIUS, 0, 2 * RADIUS)
                frames[t][inside] = looks[number - 1][rows, columns][inside]
                ids[t][inside] = number
        yield name, frames, ids


def _texture(rng: np.random.Generator, size: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.normal(0, 1, (*size, 3)).astype(np.float32), (0, 0), 2.0)
    return np.clip(noise / noise.std() * 22 + np.array(colour, np.float32), 0, 255).astype(np.uint8)


def scores(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Of (T, H, W) true and found ids.

    J: mean IoU of each true object with the found one that fits it best, one to one over the sequence. IDF1 (Ristani et
    al., 2016): with boxes replaced by masks, IoU above 0.5. Switches: frames in which a true object has another id than
    in the last frame in which it had one.
    """
    mine, theirs = [int(n) for n in np.unique(truth) if n], [int(n) for n in np.unique(found) if n]
    overlap = np.zeros((len(truth), len(mine), max(len(theirs), 1)))
    for i, a in enumerate(mine):
        for j, b in enumerate(theirs):
            one, other = truth == a, found == b
            whole = (one | other).sum((1, 2))
            overlap[:, i, j] = (one & other).sum((1, 2)) / np.maximum(whole, 1)
    there = np.array([[(frame == a).any() for a in mine] for frame in truth])
    held = np.array([[(frame == b).any() for b in theirs] for frame in found]).reshape(len(found), len(theirs))
    total = np.stack(
        [[overlap[there[:, i] | (held[:, j] if theirs else False), i, j].mean() for j in range(overlap.shape[2])]
         for i in range(len(mine))]
    )  # fmt: skip
    rows, columns = linear_sum_assignment(-total)
    hits = (overlap > 0.5).sum(0)
    best = hits[linear_sum_assignment(-hits)].sum()
    switches, last = 0, dict.fromkeys(range(len(mine)), -1)
    for t in range(len(truth)):
        for i, j in zip(*linear_sum_assignment(-overlap[t]), strict=True):
            if overlap[t, i, j] > 0.5:
                switches += last[i] not in (-1, j)
                last[i] = int(j)
    return {
        "J": float(total[rows, columns].sum() / len(mine)),
        "IDF1": float(2 * best / (there.sum() + held.sum())),
        "switches": float(switches),
        "ids": float(len(theirs)),
    }


def labels_of(graph: FrameGraph, mask: np.ndarray) -> np.ndarray:
    """(N,) bool: superpixels of which most is in (T, H, W) masks."""
    return graph.means(mask.astype(np.float32)) > 0.5


def found_ids(frames: np.ndarray, truth: np.ndarray, *, cut: bool) -> np.ndarray:
    """(T, H, W) ids; with `cut` of the foreground that the graph cut finds, else of the true one."""
    graph = describe_frames(frames, SETTINGS)
    labels = segment(graph, None, SETTINGS).labels if cut else labels_of(graph, truth > 0)
    nodes, maps = nodes_of(graph, labels)
    return id_maps(maps, nodes, track(nodes))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cut", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| sequence | J | IDF1 | switches | ids |\n|---|---|---|---|---|")
    rows = []
    for name, frames, truth in sequences(given.seed):
        one = scores(truth, found_ids(frames, truth, cut=given.cut))
        rows.append(one)
        print(f"| {name} | {one['J']:.3f} | {one['IDF1']:.3f} | {one['switches']:.0f} | {one['ids']:.0f} |", flush=True)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("J", "IDF1", "switches")}
    print(f"| mean | {mean['J']:.3f} | {mean['IDF1']:.3f} | {mean['switches']:.1f} | |")


if __name__ == "__main__":
    main()
