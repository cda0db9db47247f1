"""Area means against an independent float64 integral."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.worlds.resize import AreaResize, area_weights


def area_mean(image: np.ndarray) -> np.ndarray:
    """Integrate the image up to each cell's edges, exactly, and take differences: float64 [64, 64, 3]."""
    means = image.astype(np.float64)
    for _ in range(2):  # along the rows, then along the columns
        size = len(means)
        integral = np.concatenate([np.zeros((1, *means.shape[1:])), means.cumsum(axis=0)])
        edges = np.arange(65) * size / 64
        whole = np.minimum(edges.astype(int), size - 1)
        at_edges = integral[whole] + (edges - whole)[:, None, None] * means[whole]
        means = (np.diff(at_edges, axis=0) * 64 / size).swapaxes(0, 1)
    return means


# doom, carracing, no change, Atari, a Gymnasium rendering, smaller than 64, nothing in common with 64
SIZES = [(100, 160), (84, 96), (64, 64), (210, 160), (400, 600), (10, 8), (137, 211)]


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_is_its_areas_mean(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    small = AreaResize(*size)(image)
    assert small.shape == (64, 64, 3)
    assert small.dtype == np.uint8
    assert np.abs(small - area_mean(image)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("size", [(100, 160), (84, 96)])
def test_no_mean_is_near_a_rounding_boundary(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    assert np.abs(area_mean(image) % 1 - 0.5).min() > 0.003


def test_a_plain_image_stays_plain() -> None:
    for value in (0, 1, 254, 255):
        assert (AreaResize(100, 160)(np.full((100, 160, 3), value, np.uint8)) == value).all()


def test_a_view_of_a_larger_image() -> None:
    screen = np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)
    assert (AreaResize(100, 160)(screen[:100]) == AreaResize(100, 160)(screen[:100].copy())).all()


def test_results_do_not_share_memory() -> None:
    resize = AreaResize(100, 160)
    black = resize(np.zeros((100, 160, 3), np.uint8))
    resize(np.full((100, 160, 3), 255, np.uint8))
    assert not black.any()


def test_weights_sum_to_one() -> None:
    assert np.allclose(area_weights(100, 64).sum(axis=1), 1)
    assert np.allclose(area_weights(100, 64).sum(axis=0), 64 / 100)
