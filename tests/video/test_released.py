"""The released program of Papazoglou & Ferrari written again, slowly and plainly, and ours on a made clip.

The clip has what makes the parts of the energy matter: an object whose superpixels straddle its border and that stands
still for a frame and is slow in another, a patch of the ground that seems to move, a curve of motion that winds away
from the border, noise in the flow, and colours that the object and the ground have in common. With one Gaussian a side
the colour models have a closed form.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import label as components
from scipy.optimize import linprog
from scipy.sparse import coo_array, hstack, identity, vstack

from wsvs.video.segmentation import SegmentSettings, describe_frames, segment

FRAMES, HEIGHT, WIDTH = 6, 64, 84
STRIP = 4  # 5 % of the longer side
RELEASED = {"grad": "cross", "angle": "sum", "cleanup": "sweep", "floor_m": 0.0}


@dataclass
class Clip:
    frames: np.ndarray
    flow: np.ndarray  # (right, down)
    labels: np.ndarray
    red: np.ndarray  # superpixels of the object, numbered through the video


def made_clip(seed: int = 1) -> Clip:
    """Superpixels of one colour each, of a red object on a green ground; the flow is given."""
    random = np.random.default_rng(seed)
    y, x = np.indices((HEIGHT, WIDTH))
    clip = Clip(
        frames=np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8),
        flow=random.normal(0, 0.05, (FRAMES - 1, HEIGHT, WIDTH, 2)).astype(np.float32),
        labels=np.empty((FRAMES, HEIGHT, WIDTH), np.int32),
        red=np.zeros((FRAMES, 70), bool),
    )
    clip.flow[:, :, : WIDTH // 3] = 0
    top, left = 16, 18
    for t in range(FRAMES):
        truth = np.zeros((HEIGHT, WIDTH), bool)
        truth[top : top + 26, left : left + 30] = True
        if t < FRAMES - 1 and t != 2:
            right, down = ((4.0, 3.0), (3.2, 2.3), (0.0, 0.0), (1.16, 1.12), (4.0, 3.0))[t]
            clip.flow[t][truth] += (right, down)
            top, left = top + round(down), left + round(right)
        points = random.random((70, 2)) * (HEIGHT, WIDTH)
        clip.labels[t] = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(axis=2)
        for k in range(70):
            own = clip.labels[t] == k
            clip.red[t, k] = truth[own].mean() > 0.5
            colour = (33, 25, 20) if clip.red[t, k] else (27, 29, 22)
            clip.frames[t][own] = 4 * (colour + random.integers(-6, 7, 3))
    clip.flow[1, 8:18, 60:70] += (3.0, 4.0)
    winding = np.s_[54, :15], np.s_[30:55, 14], np.s_[30, 6:15], np.s_[30:47, 6], np.s_[46, 6:11], np.s_[38:47, 10]
    for piece in winding:
        clip.flow[0][piece] = (3.0, 3.0)
    return clip


def slow_strength(flow: np.ndarray, settings: SegmentSettings, rate: float, m: np.ndarray) -> np.ndarray:
    """b of a motion boundary."""
    theta = np.arctan2(flow[..., 0], flow[..., 1]).astype(np.float64)
    theta[(flow == 0).all(axis=2)] = 10
    around = np.pad(theta, 1, constant_values=np.nan)
    differences = []
    for other in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
        apart = np.abs(theta - other)
        wrapped = np.abs(theta + other) if settings.angle == "sum" else np.abs(2 * np.pi - apart)
        still = (theta == 10) ^ (other == 10)
        differences.append(np.where(still, np.pi, np.minimum(apart, wrapped)))
    delta = np.minimum(np.nanmax(differences, axis=0), np.pi)
    b_m = 1 - np.exp(-rate * m)
    b = np.where(b_m > 0.6, b_m, 0.1 * b_m)
    middling = (b_m > 0.25) & (b_m <= 0.6)
    b[middling] = (b_m * (1 - np.exp(-(delta**2))))[middling]
    return b


def slow_closed(boundary: np.ndarray, settings: SegmentSettings) -> np.ndarray:
    """The boundary without what hangs on the strip along the border."""
    strip = np.ones(boundary.shape, bool)
    strip[STRIP : -STRIP - 1, STRIP : -STRIP - 1] = False
    if settings.cleanup == "flood":
        pieces, _ = components(boundary | strip, np.ones((3, 3)))
        return boundary & (pieces != pieces[0, 0])
    for turn in (0, 2, 3, 1):  # right, left, down, up
        marks, edge = (np.rot90(one, turn).T for one in (strip, boundary))
        for line in range(1, len(marks)):
            before = np.pad(marks[line - 1], 1)
            marks[line] |= edge[line] & (before[:-2] | before[1:-1] | before[2:])
    return boundary & ~strip


def slow_region(boundary: np.ndarray) -> np.ndarray:
    """Pixels of which at least 5 of 8 rays cross the boundary an odd number of times."""
    number = np.arange(boundary.size).reshape(boundary.shape)
    offsets = range(-boundary.shape[0] + 1, boundary.shape[1])
    falling = [number.diagonal(k) for k in offsets]
    rising = [number[:, ::-1].diagonal(k) for k in offsets]
    votes = np.zeros(boundary.size, int)
    for line in itertools.chain(number, number.T, falling, rising):
        on = boundary.ravel()[line]
        entries = np.cumsum(np.concatenate([[0], on[1:] & ~on[:-1]]))
        votes[line] += entries % 2 + (entries[-1] - entries) % 2
    return (votes.reshape(boundary.shape) >= 5) & ~boundary


def slow_quality(region: np.ndarray) -> float:
    rows, columns = np.nonzero(region)
    return len(rows) / (rows.var() ** 2 + columns.var() ** 2) if len(rows) else 0.0


def slow_inside(flow: np.ndarray, settings: SegmentSettings) -> tuple[np.ndarray, np.ndarray]:
    """Inside map and gradient magnitude, with the search over rates."""
    du_dy, du_dx = np.gradient(flow[..., 0].astype(np.float64))
    dv_dy, dv_dx = np.gradient(flow[..., 1].astype(np.float64))
    m = np.sqrt(du_dy**2 + dv_dx**2 + (du_dx**2 + dv_dy**2 if settings.grad == "full" else 0))
    regions = []
    for rate in (0.7, 0.71, 0.81, 0.91, 1.01, 1.11, 1.21, 1.31, 1.41):
        boundary = slow_strength(flow, settings, rate, m) > 0.5
        regions.append(slow_region(slow_closed(boundary, settings)))
        if slow_quality(regions[0]) >= 0.2:
            break
    return max(regions, key=slow_quality), m


def slow_links(clip: Clip, t: int) -> dict[tuple[int, int], int]:
    """Pixels of superpixel i of frame t that land in j of the next."""
    found: dict[tuple[int, int], int] = {}
    for row, column in np.ndindex(HEIGHT, WIDTH):
        right, down = (round(float(step)) for step in clip.flow[t, row, column])
        if 0 <= row + down < HEIGHT and 0 <= column + right < WIDTH:
            pair = int(clip.labels[t, row, column]), int(clip.labels[t + 1, row + down, column + right])
            found[pair] = found.get(pair, 0) + 1
    return found


def slow_motion(r: list[np.ndarray], psi: list[np.ndarray], links: list[dict], floor: float) -> np.ndarray:
    """L of every superpixel: inside ratios carried both ways, by the video's maximum."""
    last = FRAMES - 1
    ahead, back = [one.copy() for one in r], [one.copy() for one in r]
    for t in range(1, last):
        for j in range(len(r[t])):
            a = {
                i: psi[t - 1][i] * c / sum(d for (k, _), d in links[t - 1].items() if k == i)
                for (i, to), c in links[t - 1].items()
                if to == j
            }
            if a:
                ahead[t][j] += sum(w * ahead[t - 1][i] for i, w in a.items()) / sum(a.values())
    for t in range(last - 2, -1, -1):
        for i in range(len(r[t])):
            a = {
                j: psi[t][i] * c / sum(d for (_, k), d in links[t].items() if k == j)
                for (here, j), c in links[t].items()
                if here == i
            }
            if a:
                back[t][i] += sum(w * back[t + 1][j] for j, w in a.items()) / sum(a.values())
    rho = [one + other - own for one, other, own in zip(ahead, back, r, strict=True)]
    peak = max(one.max() for one in rho)
    for t in range(last):
        rho[t] = rho[t] / (0.75 * peak)
        rho[t][rho[t] > 0.95] = 0.999
        if (rho[t] > 0.6).mean() < 0.05:
            rho[t] = np.maximum(rho[t], 0.005)
    rho[last] = np.full(len(r[last]), 0.5)
    return np.clip(np.concatenate(rho), floor, 1 - floor)


def slow_weights(clip: Clip, links: list[dict], colours: np.ndarray, alphas: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Edges between superpixels, numbered through the video, and their weights alpha phi phi_c."""
    spatial, temporal, phi_s, phi_t = [], [], [], []
    first = 0
    for t, labels in enumerate(clip.labels):
        centres = [np.argwhere(labels == k).mean(axis=0) for k in range(labels.max() + 1)]
        touching = set()
        ways = (0, 1), (1, 0), (1, 1), (1, -1)
        for (row, column), (down, right) in itertools.product(np.ndindex(HEIGHT, WIDTH), ways):
            if row + down < HEIGHT and 0 <= column + right < WIDTH:
                touching.add(tuple(sorted((int(labels[row, column]), int(labels[row + down, column + right])))))
        for i, j in sorted(pair for pair in touching if pair[0] != pair[1]):
            spatial.append((first + i, first + j))
            phi_s.append(1 / np.linalg.norm(centres[i] - centres[j]))
        if t < FRAMES - 1:
            for (i, j), pixels in links[t].items():
                temporal.append((first + i, first + len(centres) + j))
                phi_t.append(pixels / sum(d for (k, _), d in links[t].items() if k == i))
        first += len(centres)
    weights = []
    for alpha, edges, phi in zip(alphas, (spatial, temporal), (phi_s, phi_t), strict=True):
        square = np.array([((colours[i] - colours[j]) ** 2).sum() for i, j in edges])
        weights.append(alpha * np.array(phi) * np.exp(-0.5 / np.mean(square * phi) * square))
    return np.array(spatial + temporal), np.concatenate(weights)


def slow_log_density(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of one Gaussian; 16 / 12 is the variance within the steps of 4 levels that share a sample."""
    mean = np.average(colours, axis=0, weights=weights)
    covariance = np.cov(colours.T, aweights=weights, ddof=0) + 16 / 12 * np.eye(3)
    apart = colours - mean
    quadratic = np.einsum("na,ab,nb->n", apart, np.linalg.inv(covariance), apart)
    return -0.5 * (quadratic + np.log(np.linalg.det(2 * np.pi * covariance)))


def least_energy(fg: np.ndarray, bg: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The cut as a linear program: |x_i - x_j| <= z_e, whose corners are whole numbers. Labels and energy."""
    nodes, count = len(fg), len(edges)
    sign = np.repeat([[1.0, -1.0]], count, axis=0).ravel()
    difference = coo_array((sign, (np.repeat(np.arange(count), 2), edges.ravel())), shape=(count, nodes))
    upper = hstack([vstack([difference, -difference]), -vstack([identity(count)] * 2)])
    forbidden = np.isinf(fg)
    bounds = [(0, 0 if one else 1) for one in forbidden] + [(0, None)] * count
    cost = np.concatenate([np.where(forbidden, 0, fg - bg), weights])
    solved = linprog(cost, A_ub=upper.tocsr(), b_ub=np.zeros(2 * count), bounds=bounds)
    assert np.abs(solved.x[:nodes] - np.rint(solved.x[:nodes])).max() < 1e-6
    return solved.x[:nodes] > 0.5, solved.fun + bg.sum()


@pytest.fixture(scope="module")
def clip() -> Clip:
    return made_clip()


@pytest.fixture(scope="module")
def links(clip: Clip) -> list[dict]:
    return [slow_links(clip, t) for t in range(FRAMES - 1)]


@pytest.mark.parametrize("change", [RELEASED, {}], ids=["released", "recommended"])
@pytest.mark.parametrize("alphas", [(500.0, 400.0), (60.0, 48.0)], ids=["smooth", "rough"])
def test_every_step_of_the_pipeline(clip: Clip, links: list[dict], change: dict, alphas: tuple[float, float]) -> None:
    settings = SegmentSettings(
        lambda_c=1.0, fg_components=1, bg_components=1, alpha_s=alphas[0], alpha_t=alphas[1], **change
    )
    flows, labels = iter(clip.flow), iter(clip.labels)
    graph = describe_frames(
        clip.frames, settings, flow=lambda previous, following: next(flows), superpixels=lambda frame: next(labels)
    )
    found = segment(graph, None, settings)

    maps = [slow_inside(flow, settings) for flow in clip.flow]
    owned = [[labels == k for k in range(70)] for labels in clip.labels]
    r = [np.array([inside[own].mean() for own in owned[t]]) for t, (inside, _) in enumerate(maps)] + [np.zeros(70)]
    psi = [np.array([np.exp(-2 * m[own].mean()) for own in owned[t]]) for t, (_, m) in enumerate(maps)]
    np.testing.assert_allclose(graph.inside, np.concatenate(r), rtol=1e-6)
    assert [bool(one.any()) for one in r] == [True, True, False, True, True, False]
    motion = slow_motion(r, psi, links, settings.floor_m)
    np.testing.assert_allclose(found.motion, motion, rtol=1e-5)

    colours = np.concatenate([[clip.frames[t][own].mean(axis=0) for own in owned[t]] for t in range(FRAMES)])
    edges, weights = slow_weights(clip, links, colours, alphas)
    samples = np.concatenate(r)
    fg_samples, bg_samples = np.where(samples > 0.2, samples, 0), np.where(samples < 0.05, 1 - samples, 0)
    chosen, rounds = np.zeros(len(motion), bool), 0
    while rounds < 5:
        rounds += 1
        ratio = slow_log_density(colours, fg_samples) - slow_log_density(colours, bg_samples)
        with np.errstate(divide="ignore"):
            fg, bg = -np.log(motion) + np.logaddexp(0, -ratio), -np.log(1 - motion) + np.logaddexp(0, ratio)
        before, (chosen, energy) = chosen, least_energy(fg, bg, edges, weights)
        if (chosen == before).all() or not chosen.any() or chosen.all():
            break
        fg_samples, bg_samples = chosen.astype(float), (~chosen).astype(float)
    assert np.array_equal(found.labels, chosen) and found.rounds == rounds
    assert found.energies["total"] == pytest.approx(energy, rel=1e-6)
    if alphas[0] == 500:  # too much for so few superpixels
        assert not chosen.any() and rounds == 1
    else:
        assert (chosen == clip.red.ravel()).mean() > 0.95 and rounds > 2
