import cv2
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from wsvs.video.contrast import border_distance, carried, consensus, contrast_term, evidence, own_levels
from wsvs.video.contrast_kernels import connected
from wsvs.video.segmentation import SegmentSettings, describe_frames, segment

SETTINGS = SegmentSettings(lambda_a=0.0, motion="contrast", superpixels=300, lambda_c=1.0, alpha_s=80.0, alpha_t=64.0)


def test_border_distance_adds_changes_of_the_cheapest_path():
    #   0 - 1 - 2 - 3      values 0, 5, 6, 0; 0 and 3 at the border; 4 hangs on 2 alone
    edges = np.array([[0, 1], [1, 2], [2, 3], [2, 4]])
    values = np.array([[0.0], [5], [6], [0], [9]])
    assert border_distance(values, edges, np.array([0, 3])) == pytest.approx([0, 5, 6, 0, 9], abs=1e-3)


def test_distance_is_that_of_floyd_and_warshall():
    rng = np.random.default_rng(0)
    count = 30
    features = rng.normal(size=(count, 3))
    edges = np.array([(i, j) for i in range(count) for j in range(i + 1, count) if rng.random() < 0.15])
    way = np.full((count, count), np.inf)
    np.fill_diagonal(way, 0)
    for i, j in edges:
        way[i, j] = way[j, i] = np.linalg.norm(features[i] - features[j]) + 1e-4
    for k in range(count):
        way = np.minimum(way, way[:, [k]] + way[[k]])
    border = np.array([0, 7, 11])
    assert border_distance(features, edges, border) == pytest.approx(way[border].min(axis=0))


def test_evidence_of_a_flat_frame_is_nothing():
    labels = np.arange(16).reshape(4, 4)
    edges = np.array([(i, i + 1) for i in range(16) if i % 4 != 3] + [(i, i + 4) for i in range(12)])
    sizes = np.ones(16)
    assert evidence(np.ones((16, 2)), edges, labels, sizes).max() < 0.5
    one_off = np.ones((16, 2))
    one_off[5] = 9
    found = evidence(one_off, edges, labels, sizes)
    assert found.argmax() == 5 and found[5] > 0.5
    assert (np.delete(found, 5) < 0.01).all()


def test_motion_carried_along_a_chain_has_fading_weights():
    # one superpixel a frame, five frames; each is linked to the next
    values = np.array([[1.0], [0], [0], [0], [8]])
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
    found = carried(values, edges, np.full(4, 10), np.arange(6))
    weights = 0.5 ** np.abs(np.arange(5)[:, None] - np.arange(5)[None, :])
    assert found == pytest.approx(weights @ values / weights.sum(axis=1, keepdims=True))


def test_motion_of_unlinked_superpixels_stays():
    values = np.array([[1.0, 2], [3, 4], [5, 6]])
    assert carried(values, np.zeros((0, 2), int), np.zeros(0), np.array([0, 1, 3])) == pytest.approx(values)


@pytest.mark.parametrize(("per", "spread"), [(20, 1.0), (20, 0.01), (3, 5.0), (1, 1.0), (2, 0.0)])
def test_consensus_against_sklearn(per, spread):
    """Near together, far apart, a single one, and frames whose superpixels are at one place or beside the others."""
    rng = np.random.default_rng(2)
    frames = 15
    offsets = np.arange(frames + 1) * per
    features, values = rng.normal(size=(frames * per, 4)), rng.random(frames * per)
    features[:, :2] = spread * features[:, :2] + 0.3 * np.repeat(np.arange(frames) % 3, per)[:, None]
    expected = np.empty(len(values))
    for t in range(frames):
        for i in range(t * per, (t + 1) * per):
            total, weight = values[i], 1.0
            for other in (t - 12, t - 4, t - 1, t + 1, t + 4, t + 12):
                if 0 <= other < frames:
                    block = slice(other * per, (other + 1) * per)
                    near = NearestNeighbors(n_neighbors=min(2, per)).fit(features[block])
                    distance, index = near.kneighbors(features[[i]])
                    for d, j in zip(distance[0], index[0], strict=True):
                        total += np.exp(-d * d / 2) * values[block][j]
                        weight += np.exp(-d * d / 2)
            expected[i] = total / weight
    assert consensus(values, features, offsets) == pytest.approx(expected)


@pytest.mark.parametrize("density", [0.0, 0.01, 0.03, 0.2])
def test_components_are_those_of_scipy(density):
    rng = np.random.default_rng(5)
    links = np.triu(rng.random((60, 60)) < density, 1)
    edges = rng.permutation(np.argwhere(links)).reshape(-1, 2)
    count, expected = connected_components(links, directed=False)
    found, region = connected(60, edges)
    assert found == count
    assert np.array_equal(region[:, None] == region, expected[:, None] == expected)


def moving_square(step: float, drift: int = 2, frames: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A textured square that moves `step` px a frame against a textured ground that the camera pans over."""
    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (160, 300, 3)).astype(np.float32), (0, 0), 1.5)
    ground = 120 + 6 * (ground - ground.mean())
    skin = 120 + 6 * (cv2.GaussianBlur(rng.uniform(0, 255, (50, 50, 3)).astype(np.float32), (0, 0), 1.5) - 127)
    clip, masks = [], []
    for t in range(frames):
        frame = ground[:120, drift * t : drift * t + 200].copy()
        column = round(60 + step * t)
        mask = np.zeros((120, 200), bool)
        mask[35:85, column : column + 50] = True
        frame[35:85, column : column + 50] = skin
        clip.append(np.clip(frame, 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(clip), np.stack(masks)


@pytest.mark.parametrize("saliency", [0.0, 0.4])
@pytest.mark.parametrize("step", [1.0, 4.0])
def test_object_moving_against_the_camera_stands_out(step, saliency):
    clip, truth = moving_square(step)
    graph = describe_frames(clip, SETTINGS)
    m = graph.paint(contrast_term(graph, saliency=saliency, floor=0.01))
    assert m[truth].mean() > 0.6
    assert m[~truth].mean() < 0.05


def test_a_still_grey_video_says_nothing():
    graph = describe_frames(np.full((4, 60, 80, 3), 128, np.uint8), SETTINGS)
    m = contrast_term(graph, saliency=0.4, floor=0.01)
    assert np.isfinite(m).all()
    assert not segment(graph, None, SETTINGS).masks().any() or segment(graph, None, SETTINGS).masks().all()


def test_one_frame_has_its_colours():
    truth = np.zeros((120, 200), bool)
    truth[35:85, 60:110] = True
    frame = np.random.default_rng(4).normal(100, 5, (120, 200, 3))
    frame[truth] += (60, 0, -40)
    clip = np.clip(frame, 0, 255).astype(np.uint8)[None]
    settings = SETTINGS.replaced(saliency=0.4)
    mask = segment(describe_frames(clip, settings), None, settings).masks()[0]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    graph = describe_frames(clip, SETTINGS)
    assert (contrast_term(graph, saliency=0.0, floor=0.01) == 0.5).all()


def test_level_and_slope_by_hand():
    """One frame: the term is a function of the evidence alone, level 0.65 of the quantile 0.99, power 6."""
    labels = np.arange(121, dtype=np.int32).reshape(11, 11).repeat(10, axis=0).repeat(10, axis=1)
    frame = np.full((110, 110, 3), 90, np.uint8)
    for number, grey in ((60, 250), (36, 180), (84, 150), (40, 120)):
        frame[labels == number] = grey
    graph = describe_frames(frame[None], SETTINGS, superpixels=lambda frame: labels)
    lab = cv2.cvtColor((graph.colours[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    x = evidence(lab.astype(np.float64), graph.spatial, labels, graph.sizes)
    third, second = np.sort(x)[-3:-1]  # of 121 superpixels of one size: the quantile lies between these two
    top = third + (0.99 * 121 - 119) * (second - third)
    assert 0 < third < second < x.max()
    expected = np.clip(1 / (1 + (0.65 * top / np.maximum(x, 1e-12)) ** 6), 0.01, 0.99)
    assert contrast_term(graph, saliency=0.4, floor=0.01) == pytest.approx(expected, rel=1e-5)


def test_a_tiny_object_where_all_else_touches_the_border():
    labels = np.zeros((60, 80), np.int32)
    labels[26:31, 38:43] = 1
    clip = np.full((2, 60, 80, 3), (0, 255, 0), np.uint8)
    clip[:, labels == 1] = (0, 0, 255)  # as unlike green as can be
    graph = describe_frames(clip, SETTINGS, superpixels=lambda frame: labels)
    assert (contrast_term(graph, saliency=0.4, floor=0.01) == 0.5).all()


def test_a_graph_without_motions_is_refused():
    graph = describe_frames(moving_square(4.0, frames=2)[0], SETTINGS.replaced(motion="inside_outside"))
    with pytest.raises(ValueError, match='motion="contrast" needs'):
        segment(graph, None, SETTINGS)


def test_a_slow_object_has_a_level_of_its_own():
    """A row of superpixels: ground, a slow object, ground, a fast one; and specks that are too small or too slow."""
    distance = np.array([0.0, 0, 1, 0.9, 1.1, 0, 0, 6, 6, 6, 0, 0.9, 0, 0, 0, 0])
    sizes = np.full(16, 100)
    sizes[11] = 2
    edges = np.stack([np.arange(15), np.arange(1, 16)], axis=1)
    found = own_levels(distance, edges, sizes, 3.0, 0.15)
    assert found == pytest.approx([3.0] * 2 + [1.1 / 3] * 3 + [3.0] * 11)
    assert own_levels(distance, edges, sizes, 3.0, 1.5) == pytest.approx([3.0] * 16)  # slower than the slowest
    mixed = np.array([0.0, 0.1, 0.38, 0.4, 0.36, 0.1, 0, 0.1, 2.4, 6, 6, 2.1, 0.1, 0, 0.1, 0])  # 2.4, 2.1: both sides
    found = own_levels(mixed, edges, np.full(16, 100), 3.0, 0.15)
    assert found == pytest.approx([3.0] * 2 + [0.4 / 3] * 3 + [3.0] * 11)
    alone = np.where(distance == 6, 6.0, 0)
    assert own_levels(alone, edges, sizes, 3.0, 0.15) == pytest.approx([3.0] * 16)
    assert own_levels(np.zeros(16), edges, sizes, 1e-3, 0.15) == pytest.approx([1e-3] * 16)


@pytest.mark.parametrize(("fast", "slow", "down"), [(6, 1, 0), (8, 1, 1), (8, 0.5, 0), (3, 1.5, -1), (3, 3, 0)])
def test_objects_of_different_speed_are_both_found(fast, slow, down):
    rng = np.random.default_rng(4)
    size, count = (150, 240), 10

    def skin(colour, height, width):
        return cv2.GaussianBlur(rng.normal(0, 60, (height, width, 3)), (0, 0), 1.5) + colour

    ground, things = skin((90, 120, 70), *size), [skin((190, 70, 50), 40, 50), skin((60, 70, 190), 40, 50)]
    film, truth = [], []
    for t in range(count):
        frame, masks = ground.copy(), []
        for thing, x, y in ((things[0], 40 + fast * t, 25), (things[1], 150 - slow * t, 90 + down * slow * t / 2)):
            matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
            alpha = cv2.warpAffine(np.ones((40, 50)), matrix, size[::-1])
            frame = frame * (1 - alpha[..., None]) + cv2.warpAffine(thing, matrix, size[::-1]) * alpha[..., None]
            masks.append(alpha > 0.5)
        film.append(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
        truth.append(masks)
    truth = np.array(truth)
    found = segment(describe_frames(np.stack(film), SETTINGS), None, SETTINGS).masks()
    for number in (0, 1):
        assert (found & truth[:, number]).sum() > 0.95 * truth[:, number].sum()
    assert (found & ~truth.any(axis=1)).sum() < 0.15 * truth.sum()


def test_paths_begin_with_what_moves_at_the_border():
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    values = np.array([[2.0], [2], [0], [0]])
    assert border_distance(values, edges, np.array([0, 3]), np.array([2.0, 0])) == pytest.approx([2, 2, 0, 0], abs=1e-3)


@pytest.mark.parametrize("touching", [3, 40])
def test_an_object_that_touches_the_border_is_no_ground(touching):
    """A patch of a 20 x 20 grid moves 1 px and is at the border; where much of the border moves, it is ground."""
    labels = np.arange(400).reshape(20, 20)
    edges = np.concatenate(
        [
            np.stack([labels[:, :-1], labels[:, 1:]], -1).reshape(-1, 2),
            np.stack([labels[:-1], labels[1:]], -1).reshape(-1, 2),
        ]
    )
    motion = np.zeros((20, 20, 2))
    motion[5 : 5 + touching, 12:] = (1, 0)
    found = evidence(motion.reshape(400, 2), edges, labels, np.full(400, 9), moving=True).reshape(20, 20)
    patch = motion[..., 0] > 0
    if touching == 3:
        assert found[patch].min() > 0.5 > 0.3 > found[~patch].max()
    else:
        assert found[patch].min() < 0.5


@pytest.mark.parametrize("motion", ["contrast", "inside_outside"])
def test_a_graph_of_the_other_motion_term_is_refused(motion):
    other = "inside_outside" if motion == "contrast" else "contrast"
    graph = describe_frames(moving_square(2, frames=3)[0], SETTINGS.replaced(motion=other))
    with pytest.raises(ValueError, match=f'motion="{motion}" needs a graph'):
        segment(graph, None, SETTINGS.replaced(motion=motion))
