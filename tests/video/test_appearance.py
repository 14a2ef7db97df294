"""The colour models."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.video.appearance import Mixture, colour_log_ratio, colour_samples, fit_mixture, merge_colours


def blobs(seed: int = 0, each: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Colours around two centres and random weights."""
    random = np.random.default_rng(seed)
    red, blue = random.normal((200, 40, 40), 3, (each, 3)), random.normal((30, 60, 190), 5, (each, 3))
    return np.clip(np.concatenate([red, blue]), 0, 255), random.uniform(0.2, 1.0, 2 * each)


def test_one_gaussian_has_the_weighted_moments() -> None:
    colours, weights = blobs()
    model = fit_mixture(colours, weights, 1)
    assert model is not None
    mean = np.average(colours, axis=0, weights=weights)
    np.testing.assert_allclose(model.mean[0], mean, atol=1e-3)
    covariance = np.cov(colours.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(model.covariance[0], covariance, rtol=0.01, atol=3)  # colours are merged


def test_two_gaussians_find_two_colours() -> None:
    colours, weights = blobs()
    model = fit_mixture(colours, weights, 2)
    assert model is not None
    order = np.argsort(-model.mean[:, 0])
    for k, part in zip(order, (slice(0, 400), slice(400, None)), strict=True):
        mean = np.average(colours[part], axis=0, weights=weights[part])
        np.testing.assert_allclose(model.mean[k], mean, atol=1e-3)
        assert model.weight[k] == pytest.approx(weights[part].sum() / weights.sum(), abs=1e-6)


def test_twice_a_sample_is_twice_its_weight() -> None:
    colours, weights = blobs()
    twice = np.ones(len(colours))
    twice[::3] = 2
    double = np.concatenate([colours, colours[::3]])
    one = fit_mixture(colours, weights * twice, 4)
    other = fit_mixture(double, np.concatenate([weights, weights[::3]]), 4)
    assert one is not None and other is not None
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-6)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-6)


def test_density_is_the_formula() -> None:
    random = np.random.default_rng(1)
    root = random.normal(0, 5, (2, 3, 3))
    covariance = root @ root.transpose(0, 2, 1) + np.eye(3)
    model = Mixture(np.array([0.3, 0.7]), np.array([[10.0, 200, 30], [90, 80, 250]]), covariance)
    x = random.uniform(0, 255, (20, 3))
    density = np.zeros(20)
    for weight, mean, cov in zip(model.weight, model.mean, model.covariance, strict=True):
        d = x - mean
        quadratic = np.array([row @ np.linalg.solve(cov, row) for row in d])
        density += weight * np.exp(-0.5 * quadratic) / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(cov))
    seen = density > 1e-250
    np.testing.assert_allclose(model.log_density(x)[seen], np.log(density[seen]), rtol=1e-8)


def test_em_raises_the_likelihood() -> None:
    random = np.random.default_rng(2)
    colours = np.concatenate([random.normal(c, s, (300, 3)) for c, s in ((60, 25), (110, 12), (170, 30))])
    weights = random.uniform(0.1, 1, len(colours))
    likelihood = []
    for iterations in (0, 1, 2, 5, 20):
        model = fit_mixture(colours, weights, 3, iterations=iterations)
        assert model is not None
        points, mass = merge_colours(colours, weights)
        likelihood.append(mass @ model.log_density(points))
    assert (np.diff(likelihood) > -1e-6).all()
    assert likelihood[-1] > likelihood[0] + 1


def test_colours_of_each_side_are_preferred() -> None:
    colours, weights = blobs()
    first = np.arange(len(colours)) < 400
    ratio = colour_log_ratio(colours, np.where(first, weights, 0), np.where(first, 0, weights))
    assert (ratio[first] > 0).all() and (ratio[~first] < 0).all()


@pytest.mark.parametrize("side", [0, 1])
def test_too_few_colours_say_nothing(side: int) -> None:
    colours, weights = blobs()
    first = np.arange(len(colours)) < 400
    sides = [np.where(first, weights, 0), np.where(first, 0, weights)]
    sides[side] = np.where(np.arange(len(colours)) == 400 * side, 1.0, 0)
    assert (colour_log_ratio(colours, *sides) == 0).all()
    assert (colour_log_ratio(colours, sides[0] * 0, sides[1] * 0) == 0).all()


def test_flat_colours_do_not_break_the_model() -> None:
    flat = np.repeat(np.arange(5)[:, None] * 40.0, 3, axis=1).repeat(50, axis=0)  # five exact greys
    model = fit_mixture(flat, np.ones(len(flat)), 5)
    assert model is not None
    assert np.isfinite(model.log_density(np.random.default_rng(0).uniform(0, 255, (50, 3)))).all()
    assert fit_mixture(np.full((100, 3), 80.0), np.ones(100), 2) is None


def test_seed_decides_the_start() -> None:
    random = np.random.default_rng(5)
    colours = random.uniform(0, 255, (500, 3))
    fits = [fit_mixture(colours, np.ones(500), 5, seed=seed) for seed in (0, 0, 1)]
    assert all(fit is not None for fit in fits)
    assert np.array_equal(fits[0].mean, fits[1].mean)  # type: ignore[union-attr]
    assert not np.array_equal(fits[0].mean, fits[2].mean)  # type: ignore[union-attr]


def test_samples_three_way_and_two_way() -> None:
    a = np.array([0.0, 0.05, 0.2, 0.5, 0.9])
    foreground, background = colour_samples(a, 0.5, 0.05)
    np.testing.assert_allclose(foreground, [0, 0, 0, 0.5, 0.9])
    np.testing.assert_allclose(background, [1, 0.95, 0, 0, 0])
    foreground, background = colour_samples(a, 0.2, 0.2)
    np.testing.assert_allclose(foreground, [0, 0, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(background, [1, 0.95, 0, 0, 0])
    foreground, background = colour_samples(np.zeros(3), 0.0, 0.0)  # attention that is 0 everywhere
    assert not foreground.any() and (background == 1).all()


def test_merged_colours_keep_mass_and_mean() -> None:
    colours = np.array([[0.0, 0, 0], [3, 3, 3], [200, 10, 10]])
    points, mass = merge_colours(colours, np.array([1.0, 2, 5]))
    np.testing.assert_allclose(points, [[2, 2, 2], [200, 10, 10]])
    np.testing.assert_allclose(mass, [3, 5])
