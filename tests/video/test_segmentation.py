"""The whole of section 3.2 on small videos."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from wsvs.core.errors import UserError
from wsvs.video.appearance import colour_log_ratio
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment, unary_costs, working_size

SMALL = SegmentSettings(superpixels=300, superpixel_method="opencv")


def moving_square(frames: int = 6, size: tuple[int, int] = (120, 160), step: int = 4):
    """A textured reddish square that moves right over a textured greenish ground; frames and true masks."""
    random = np.random.default_rng(0)
    ground = cv2.GaussianBlur(random.integers(0, 256, (*size, 3), dtype=np.uint8), (0, 0), 2) // 2
    ground[..., 1] += 90
    patch = cv2.GaussianBlur(random.integers(0, 256, (40, 40, 3), dtype=np.uint8), (0, 0), 1.5) // 2
    patch[..., 0] += 110
    video, masks = np.repeat(ground[None], frames, axis=0), np.zeros((frames, *size), bool)
    for t in range(frames):
        place = np.s_[t, 40:80, 40 + step * t : 80 + step * t]
        video[place] = patch
        masks[place] = True
    return video, masks


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture(scope="module")
def square():
    video, masks = moving_square()
    return describe_frames(video, SMALL), masks


def partial(masks: np.ndarray) -> np.ndarray:
    """Attention on the upper half of the object only, blurred."""
    part = masks.copy()
    part[:, 60:] = False
    return np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4) for mask in part])


def test_what_moves_is_found_without_attention(square) -> None:
    graph, masks = square
    found = segment(graph, None, SMALL).masks()
    assert found.shape == masks.shape and found.dtype == bool
    assert iou(found, masks) > 0.85


def test_partial_attention_spreads_over_the_object(square) -> None:
    graph, masks = square
    attention = partial(masks)
    attention /= attention.max()
    assert iou(attention > 0.5, masks) < 0.6
    result = segment(graph, attention, SMALL)
    assert iou(result.masks(), masks) > 0.85
    again = segment(graph, graph.means(attention), SMALL)  # means over superpixels give the same
    np.testing.assert_allclose(again.attention, result.attention, atol=1e-6)
    assert np.array_equal(again.labels, result.labels)


def test_attention_alone_and_motion_alone(square) -> None:
    graph, masks = square
    attention = masks.astype(np.float32)
    free = SMALL.replaced(alpha_s=0.0, alpha_t=0.0)
    alone = segment(graph, attention, free.replaced(lambda_m=0.0, lambda_c=0.0))
    assert np.array_equal(alone.labels, graph.means(attention) > 0.5)
    moves = segment(graph, attention, free.replaced(lambda_a=0.0, lambda_c=0.0))
    assert np.array_equal(moves.labels, moves.motion > 0.5)
    assert moves.rounds == alone.rounds == 1


def test_no_attention_at_all(square) -> None:
    graph, _ = square
    result = segment(graph, np.zeros((6, 10, 12)), SMALL)
    assert (result.appearance == 0.5).all()  # no foreground sample
    assert np.isfinite(list(result.energies.values())).all()


def test_unary_by_hand() -> None:
    a, m, nothing = np.array([0.9]), np.array([0.5]), np.zeros(1)
    costs = unary_costs(a, m, nothing, SegmentSettings())
    assert sum(fg[0] for fg, _ in costs.values()) == pytest.approx(2.290, abs=5e-4)
    assert sum(bg[0] for _, bg in costs.values()) == pytest.approx(6.685, abs=5e-4)
    clipped = unary_costs(np.array([0.0, 1.0]), np.full(2, 0.5), np.zeros(2), SegmentSettings())["attention"]
    np.testing.assert_allclose(clipped, 2 * -np.log([[0.05, 0.95], [0.95, 0.05]]))
    far = unary_costs(a, m, np.array([-2000.0]), SegmentSettings())["appearance"]
    np.testing.assert_allclose([far[0][0], far[1][0]], [4000, 0])


def test_appearance_of_a_model_ratio() -> None:
    """C(1) = p_fg / (p_fg + p_bg): dividing by the sum leaves the difference of the costs as it was."""
    p_fg, p_bg = np.array([0.3, 0.02, 0.5]), np.array([0.1, 0.4, 0.5])
    fg, bg = unary_costs(np.full(3, 0.5), np.full(3, 0.5), np.log(p_fg / p_bg), SegmentSettings())["appearance"]
    np.testing.assert_allclose(fg, -2 * np.log(p_fg / (p_fg + p_bg)))
    np.testing.assert_allclose(bg, -2 * np.log(p_bg / (p_fg + p_bg)))
    np.testing.assert_allclose(bg - fg, 2 * np.log(p_fg / p_bg))


def test_colour_samples_are_shares_of_the_largest_attention(square) -> None:
    """At least half of it: foreground, weight A; at most a tenth of it: background, weight 1 - A."""
    graph, masks = square
    a = 0.6 * graph.means(partial(masks))
    found = segment(graph, a, SMALL)
    ratio = colour_log_ratio(graph.colours, np.where(a >= 0.5 * a.max(), a, 0), np.where(a <= 0.1 * a.max(), 1 - a, 0))
    np.testing.assert_allclose(found.appearance, 1 / (1 + np.exp(-np.clip(ratio, -700, 700))), rtol=1e-9)
    assert ((a > 0.1 * a.max()) & (a < 0.5 * a.max())).any() and found.rounds == 1


def test_energies_add_up(square) -> None:
    graph, masks = square
    result = segment(graph, masks.astype(np.float32), SMALL)
    parts = dict(result.energies)
    total = parts.pop("total")
    assert set(parts) == {"attention", "motion", "appearance", "spatial", "temporal"}
    assert total == pytest.approx(sum(parts.values()))
    flipped = np.count_nonzero(result.labels[graph.spatial[:, 0]] != result.labels[graph.spatial[:, 1]])
    assert flipped > 0 and 0 < parts["spatial"] < 500 * flipped


def test_solvers_give_the_same_masks(square) -> None:
    graph, masks = square
    one, other = (segment(graph, partial(masks), SMALL.replaced(solver=s)) for s in ("maxflow", "scipy"))
    assert np.array_equal(one.labels, other.labels) and one.energies == other.energies


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (33, 47), (64, 96)])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_any_size_and_length(size: tuple[int, int], frames: int) -> None:
    video = np.random.default_rng(0).integers(0, 256, (frames, *size, 3), dtype=np.uint8)
    graph = describe_frames(video, SMALL)
    assert graph.frames == frames and graph.nodes == graph.sizes.size
    assert graph.sizes.sum() == frames * np.prod(size)
    for attention in (None, np.full((frames, *size), 0.7)):
        result = segment(graph, attention, SMALL)
        assert result.masks().shape == (frames, *size)
        assert np.isfinite(list(result.energies.values())).all()
    if frames == 1:
        assert len(graph.temporal) == 0
        assert (segment(graph, None, SMALL).motion == 0.5).all()


def test_grey_and_constant_videos() -> None:
    video, masks = moving_square()
    grey = video[..., :1].repeat(3, axis=-1)  # of the red channel, in which the square is brighter
    assert iou(segment(describe_frames(grey, SMALL), None, SMALL).masks(), masks) > 0.85
    flat = describe_frames(np.full((3, 40, 60, 3), 90, np.uint8), SMALL)
    assert not segment(flat, None, SMALL).labels.any()


def test_last_frame_has_no_motion(square) -> None:
    graph, _ = square
    result = segment(graph, None, SMALL)
    assert (result.motion[graph.offsets[-2] :] == 0.5).all()
    assert (graph.inside[graph.offsets[-2] :] == 0).all()


def test_edges_join_the_right_frames(square) -> None:
    graph, _ = square
    owner = np.searchsorted(graph.offsets, np.arange(graph.nodes), side="right") - 1
    assert (owner[graph.spatial[:, 0]] == owner[graph.spatial[:, 1]]).all()
    assert (owner[graph.temporal[:, 1]] - owner[graph.temporal[:, 0]] == 1).all()
    starts = np.searchsorted(graph.temporal[:, 0], np.arange(graph.nodes))
    assert (np.diff(starts) >= 0).all()
    sums = np.bincount(graph.temporal[:, 0], graph.phi_t, graph.nodes)
    np.testing.assert_allclose(sums[sums > 0], 1)


def test_frames_are_read_once_and_shrunk() -> None:
    video, _ = moving_square(frames=3, size=(240, 320))
    graph = describe_frames((frame for frame in video), SMALL.replaced(longest_edge=160))
    assert graph.labels.shape == (3, 120, 160) and graph.labels.dtype == np.int16
    result = segment(graph, np.zeros((3, 240, 320)), SMALL)
    assert result.masks((240, 320)).shape == (3, 240, 320)
    assert working_size(480, 854) == (225, 400)
    assert working_size(100, 50) == (100, 50)
    assert working_size(1, 4000) == (1, 400)


def test_masks_enlarge_by_nearest_neighbour(square) -> None:
    graph, masks = square
    result = segment(graph, masks.astype(np.float32), SMALL)
    assert np.array_equal(result.masks((240, 320)), result.masks().repeat(2, axis=1).repeat(2, axis=2))


def test_same_result_every_time_and_in_a_worker(square) -> None:
    graph, masks = square
    again = pickle.loads(pickle.dumps(describe_frames(moving_square()[0], SMALL)))
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        third = describe_frames(moving_square()[0], SMALL)
    finally:
        cv2.setNumThreads(threads)
    for name in ("labels", "colours", "centres", "spatial", "temporal", "phi_t", "inside", "psi"):
        assert np.array_equal(getattr(graph, name), getattr(again, name))
        assert np.array_equal(getattr(graph, name), getattr(third, name))
    one, other = (segment(g, partial(masks), SMALL) for g in (graph, again))
    assert np.array_equal(one.labels, other.labels) and one.energies == other.energies


def test_every_setting_of_the_energy_matters() -> None:
    # Little contrast and a few coarse steps of attention, so that the terms disagree about many superpixels.
    video, masks = moving_square()
    noise = np.random.default_rng(1).normal(0, 4, video.shape)
    graph = describe_frames(np.clip(video // 2 + 60 + noise, 0, 255).astype(np.uint8), SMALL)
    base = segment(graph, partial(masks), SMALL)
    for change in (
        {"alpha_s": 5.0},
        {"alpha_t": 5.0},
        {"lambda_a": 9.0},
        {"lambda_m": 9.0},
        {"lambda_c": 9.0},
        {"clip_a": 0.2},
        {"floor_m": 0.1},
        {"fg_components": 2},
        {"bg_components": 2},
        {"fg_threshold": 0.9},
        {"bg_threshold": 0.01},
        {"seed": 3},
        {"reestimate": 3},
    ):
        changed = segment(graph, partial(masks), SMALL.replaced(**change))
        assert changed.energies != base.energies, change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"superpixels": 0}, "superpixels"),
        ({"alpha_s": float("nan")}, "alpha_s"),
        ({"lambda_c": "2"}, "lambda_c"),
        ({"grad": "half"}, "grad"),
        ({"seed": True}, "seed"),
        ({"fg_threshold": 0.05}, "bg_threshold <= fg_threshold"),
        ({"lambda_a": 0.0, "lambda_m": 0.0, "lambda_c": 0.0}, "one of lambda_a"),
    ],
)
def test_bad_settings(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentSettings(**change)
    with pytest.raises(ValueError, match=message):
        SMALL.replaced(**change)


def test_an_unknown_flow() -> None:
    with pytest.raises(UserError, match="there is no optical flow 'raft'"):
        SegmentSettings(flow="raft")


def test_bad_input(square) -> None:
    graph, _ = square
    with pytest.raises(ValueError, match="at least one frame"):
        describe_frames([])
    with pytest.raises(ValueError, match="uint8"):
        describe_frames([np.zeros((10, 10, 3))])
    with pytest.raises(ValueError, match="one size"):
        describe_frames([np.zeros((20, 20, 3), np.uint8), np.zeros((20, 24, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        segment(graph, np.full((6, 120, 160), 3.0))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        segment(graph, np.full((6, 120, 160), np.nan))
    with pytest.raises(ValueError, match="each of 6 frames"):
        segment(graph, np.zeros((5, 120, 160)))
