"""The motion term: what is inside, carried along the flow."""

from __future__ import annotations

import numpy as np

from wsvs.video.inside_outside import accumulate, motion_term, reliability


def chain(frames: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, pixel counts and offsets of `frames` equal frames that do not move."""
    offsets = np.arange(frames + 1) * count
    first = np.arange((frames - 1) * count)
    return np.stack([first, first + count], axis=1), np.full(len(first), 9), offsets


def test_lasting_evidence_adds_up() -> None:
    r = np.array([0.0, 0.3, 1.0])
    edges, counts, offsets = chain(6, 3)
    inside = np.concatenate([np.tile(r, 5), [9, 9, 9]])  # the last frame has no flow: ignored
    rho = accumulate(inside, np.full(18, 0.4), edges, counts, offsets)
    np.testing.assert_allclose(rho[:15].reshape(5, 3), np.tile(r * 5, (5, 1)))
    assert (rho[15:] == 0).all()


def slow_accumulate(r, psi, edges, counts, offsets):
    frames = len(offsets) - 1
    owner = np.searchsorted(offsets, np.arange(offsets[-1]), side="right") - 1
    r = np.where(owner == frames - 1, 0.0, r)
    links = list(zip(edges[:, 0], edges[:, 1], counts, strict=True))
    forward, backward = r.copy(), r.copy()
    for t in range(1, frames - 1):
        for j in np.flatnonzero(owner == t):
            a = {i: psi[i] * c / sum(d for k, _, d in links if k == i) for i, k2, c in links if k2 == j}
            if a:
                forward[j] += sum(w * forward[i] for i, w in a.items()) / sum(a.values())
    for t in range(frames - 3, -1, -1):
        for i in np.flatnonzero(owner == t):
            a = {j: psi[i] * c / sum(d for _, k, d in links if k == j) for k2, j, c in links if k2 == i}
            if a:
                backward[i] += sum(w * backward[j] for j, w in a.items()) / sum(a.values())
    return forward + backward - r


def test_accumulation_against_loops() -> None:
    random = np.random.default_rng(4)
    offsets = np.array([0, 4, 9, 12, 17])
    edges = np.array(
        [
            (i, j)
            for t in range(3)
            for i in range(offsets[t], offsets[t + 1])
            for j in range(offsets[t + 1], offsets[t + 2])
            if random.random() < 0.4
        ]
    )
    counts = random.integers(1, 30, len(edges))
    r, psi = random.random(17), random.random(17) + 0.1
    np.testing.assert_allclose(
        accumulate(r, psi, edges, counts, offsets), slow_accumulate(r, psi, edges, counts, offsets)
    )


def test_motion_term_by_hand() -> None:
    offsets = np.array([0, 4, 8, 10])
    rho = np.array([4.0, 3.0, 1.5, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    third = 1 / 3
    expected = [0.999, 0.999, 0.5, 0.001, 0.1, 0.005, 0.005, 0.005, 0.5, 0.5]
    np.testing.assert_allclose(motion_term(rho * third, offsets), expected)
    free = motion_term(rho, offsets, floor=0)
    assert free[3] == 0 and free[5] == 0.005 and free[0] == 0.999
    # of 100 superpixels 4 above 0.6 are hardly anything inside, 5 are enough
    many = np.zeros(201)
    many[:5] = 1.0
    assert (motion_term(many, np.array([0, 100, 201]), floor=0)[5:100] == 0).all()
    many[4] = 0.0
    assert (motion_term(many, np.array([0, 100, 201]), floor=0)[4:100] == 0.005).all()


def test_motion_term_without_any_motion() -> None:
    assert (motion_term(np.zeros(6), np.array([0, 3, 6])) == 0.5).all()
    assert (motion_term(np.zeros(3), np.array([0, 3])) == 0.5).all()


def test_reliability() -> None:
    np.testing.assert_allclose(reliability(np.array([0.0, 0.5])), [1, np.exp(-1)])
