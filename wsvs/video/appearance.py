"""The appearance term C: two Gaussian mixtures of the superpixels' mean colours for the whole video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsvs.video.jit import compiled

_STEP = 4.0  # RGB levels that are merged to one sample; 64 steps per channel give the same fit at a fifth of the cost
_RIDGE = _STEP**2 / 12  # added to variances: the variance lost by merging, and a regulariser for few samples
_PAIRS = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture over RGB: weight (k,), mean (k, 3) and covariance (k, 3, 3) in levels 0-255."""

    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def log_density(self, colours: np.ndarray) -> np.ndarray:
        """log p of (n, 3) colours, (n,) float64."""
        joint, top = _joint(_monomials(colours - self.mean[0]), _coefficients(self, self.mean[0]))
        return top + np.log(np.exp(joint).sum(axis=0))


def colour_samples(evidence: np.ndarray, foreground: float, background: float) -> tuple[np.ndarray, np.ndarray]:
    """Categorise superpixels by thresholds, "with their attention values as sample weights" (section 3.2).

    Args:
        evidence: (N,) in [0, 1], attention A or inside ratio.
        foreground: Foreground samples have at least this (and more than 0), with weight `evidence`.
        background: Background samples have at most this, with weight 1 - `evidence`. Equal to `foreground`,
            every superpixel is one or the other.

    Returns:
        Two (N,) weights; 0 means that a superpixel is not used.
    """
    is_foreground = (evidence >= foreground) & (evidence > 0)
    is_background = (evidence <= background) & ~is_foreground
    return np.where(is_foreground, evidence, 0.0), np.where(is_background, 1.0 - evidence, 0.0)


def colour_log_ratio(
    colours: np.ndarray,
    foreground_weight: np.ndarray,
    background_weight: np.ndarray,
    *,
    components: tuple[int, int] = (5, 8),
    seed: int = 0,
) -> np.ndarray:
    """log p_fg - log p_bg of every superpixel; C(l = 1) = p_fg / (p_fg + p_bg) is its sigmoid.

    Args:
        colours: (N, 3) mean RGB, 0-255.
        foreground_weight, background_weight: (N,) sample weights, 0 for unused.
        components: Gaussians of the foreground and of the background.
        seed: Seed of the initialisation.

    Returns:
        (N,) float64; all 0, so that C = 0.5, if one side has fewer distinct colours than Gaussians.
    """
    models = [
        fit_mixture(colours, weight, count, seed=seed)
        for weight, count in zip((foreground_weight, background_weight), components, strict=True)
    ]
    foreground, background = models
    if foreground is None or background is None:
        return np.zeros(len(colours))
    return foreground.log_density(colours) - background.log_density(colours)


def fit_mixture(
    colours: np.ndarray, weights: np.ndarray, components: int, *, iterations: int = 20, seed: int = 0
) -> Mixture | None:
    """Weighted maximum likelihood by EM with full covariances, from a k-means++ start.

    Args:
        colours: (n, 3) RGB, 0-255.
        weights: (n,) sample weights; samples with 0 are ignored.
        components: Number of Gaussians.
        iterations: EM iterations.
        seed: Seed of the initialisation.

    Returns:
        The mixture, or None if there are fewer distinct colours than Gaussians.
    """
    points, mass = merge_colours(colours[weights > 0], weights[weights > 0])
    if len(points) < components:
        return None
    origin = np.einsum("n,nd->d", mass, points) / mass.sum()  # close to the data, for the precision of second moments
    monomials = _monomials(points - origin)
    chosen = _start(points, mass, components, np.random.default_rng(seed))
    share = np.zeros((components, len(points)))
    share[chosen, np.arange(len(points))] = 1
    mixture = _mixture(_moments(share, monomials, mass), origin)
    for _ in range(iterations):
        joint, _top = _joint(monomials, _coefficients(mixture, origin))
        mixture = _mixture(_moments(np.exp(joint, out=joint), monomials, mass), origin)
    return mixture


def merge_colours(colours: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge colours that share a cell of the RGB cube: weighted means (n, 3), summed weights (n,)."""
    cell = (np.asarray(colours, np.float64) / _STEP).astype(np.int32)
    key = (cell[:, 0] << 16) + (cell[:, 1] << 8) + cell[:, 2]
    _, where = np.unique(key, return_inverse=True)
    mass = np.bincount(where, weights)
    sums = [np.bincount(where, weights * colours[:, channel]) for channel in range(3)]
    return np.stack(sums, axis=1) / mass[:, None] if len(mass) else np.zeros((0, 3)), mass


def _start(points: np.ndarray, mass: np.ndarray, components: int, random: np.random.Generator) -> np.ndarray:
    """Hard (n,) assignment: k-means++ (Arthur & Vassilvitskii, SODA 2007) and two Lloyd rounds."""
    centres = points[random.choice(len(points), p=mass / mass.sum())][None]
    near = np.full(len(points), np.inf)
    while len(centres) < components:
        near = np.minimum(near, _nearest(points, centres[-1:])[1])
        p = near * mass
        centres = np.append(centres, points[random.choice(len(points), p=p / p.sum())][None], axis=0)
    for _ in range(2):
        chosen = _nearest(points, centres)[0]
        total = np.bincount(chosen, mass, components)
        moved = np.stack([np.bincount(chosen, mass * points[:, c], components) for c in range(3)], axis=1)
        centres = np.where(total[:, None] > 0, moved / np.maximum(total, 1e-12)[:, None], centres)
    return _nearest(points, centres)[0]


@compiled
def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the nearest of (k, 3) centres, (n,) int64, the first of equal ones, and its squared distance."""
    chosen, nearest = np.zeros(len(points), np.int64), np.full(len(points), np.inf)
    for k in range(len(centres)):
        for n in range(len(points)):
            square = (
                (points[n, 0] - centres[k, 0]) ** 2
                + (points[n, 1] - centres[k, 1]) ** 2
                + (points[n, 2] - centres[k, 2]) ** 2
            )
            if square < nearest[n]:
                chosen[n], nearest[n] = k, square
    return chosen, nearest


# A Gaussian's log density is linear in the monomials of degree 2, and its moments are means of them: E and M
# step are one small product each way. Compiled loops instead of BLAS, whose sums depend on the number of threads.


def _monomials(x: np.ndarray) -> np.ndarray:
    """(n, 3) -> (10, n): 1, x_a, x_a^2, x_a x_b."""
    x = np.asarray(x, np.float64).T
    return np.concatenate([np.ones((1, x.shape[1])), x, x**2, [x[a] * x[b] for a, b in _PAIRS]])


def _mixture(moment: np.ndarray, origin: np.ndarray) -> Mixture:
    """M step: (k, 10) sums of monomials around `origin` -> mixture; no Gaussian vanishes completely."""
    total = np.maximum(moment[:, 0], 1e-12)
    moment = moment / total[:, None]
    mean = moment[:, 1:4]
    covariance = -mean[:, :, None] * mean[:, None, :]
    for a in range(3):
        covariance[:, a, a] += moment[:, 4 + a] + _RIDGE
    for column, (a, b) in enumerate(_PAIRS, start=7):
        covariance[:, a, b] += moment[:, column]
        covariance[:, b, a] += moment[:, column]
    return Mixture(total / total.sum(), mean + origin, covariance)


def _coefficients(mixture: Mixture, origin: np.ndarray) -> np.ndarray:
    """(k, 10): log(weight_k N(x | k)) is their product with the monomials of x - origin."""
    precision = np.linalg.inv(mixture.covariance)
    mean = mixture.mean - origin
    pull = np.einsum("kab,kb->ka", precision, mean)
    constant = (
        np.log(mixture.weight)
        - 0.5 * np.einsum("ka,ka->k", pull, mean)
        - 0.5 * np.linalg.slogdet(mixture.covariance)[1]
        - 1.5 * np.log(2 * np.pi)
    )
    squares = -0.5 * precision[:, range(3), range(3)]
    cross = np.stack([-precision[:, a, b] for a, b in _PAIRS], axis=1)
    return np.concatenate([constant[:, None], pull, squares, cross], axis=1)


@compiled
def _joint(monomials: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E step: log(weight_k N(x_n | k)), (k, n), less the largest of each n; and the largest, (n,)."""
    joint = np.empty((len(coefficients), monomials.shape[1]))
    top = np.full(monomials.shape[1], -np.inf)
    for k in range(len(coefficients)):
        c = coefficients[k]
        for n in range(monomials.shape[1]):
            joint[k, n] = c[0]
        for f in range(1, 10):
            factor = c[f]
            for n in range(monomials.shape[1]):
                joint[k, n] += factor * monomials[f, n]
        for n in range(monomials.shape[1]):
            if joint[k, n] > top[n]:
                top[n] = joint[k, n]
    for k in range(len(coefficients)):
        for n in range(monomials.shape[1]):
            joint[k, n] -= top[n]
    return joint, top


@compiled
def _moments(share: np.ndarray, monomials: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(k, 10) sums of monomials over the samples; a sample's mass is divided by its (k,) shares."""
    moment = np.zeros((len(share), 10))
    x = np.empty(10)
    for n in range(len(mass)):
        total = 0.0
        for k in range(len(share)):
            total += share[k, n]
        for f in range(10):
            x[f] = monomials[f, n] * (mass[n] / total)
        for k in range(len(share)):
            for f in range(10):
                moment[k, f] += share[k, n] * x[f]
    return moment
