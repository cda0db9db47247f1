"""Where dreams begin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from reverie.dream.starts import Starts, first_latents, load_starts, save_starts
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import save_arrays
from reverie.vision.latents import LatentEntry, LatentEpisode, Latents, Part, part_path, write_part


def recorded(folder: Path, count: int) -> Latents:
    """`count` episodes of two steps, whose first frames have the mean 0, 1, 2 ... and all others -1."""
    episodes, entries = [], []
    for position in range(count):
        mu = np.array([[position] * 2, [-1] * 2, [-1] * 2], np.float16)
        steps = np.zeros((2, 1), np.float32), np.zeros(2, np.float32)
        episodes.append(LatentEpisode(mu, -mu, *steps, terminated=True))
        entries.append(LatentEntry(10 * position, 2, 0.0, True, "0" * 64))
    write_part(part_path(folder, 0), Part("0" * 64, tuple(entries)), episodes)
    return Latents(folder)


def test_first_frames_of_all_episodes(tmp_path: Path) -> None:
    starts = first_latents(recorded(tmp_path, 4))
    np.testing.assert_array_equal(starts.mu, np.repeat([[0], [1], [2], [3]], 2, 1))
    np.testing.assert_array_equal(starts.logvar, -starts.mu)
    assert starts.mu.dtype == np.float32
    assert repr(starts) == "Starts(4, latent_size=2)"


def test_a_limit_spreads_over_all_that_were_recorded(tmp_path: Path) -> None:
    assert first_latents(recorded(tmp_path, 9), limit=3).mu[:, 0].tolist() == [0, 4, 8]


def test_draws_have_the_gaussians_mean_and_spread() -> None:
    starts = Starts(np.array([[1, -2]], np.float32), np.log(np.array([[0.25, 4]], np.float32)))
    rng = np.random.default_rng(0)
    draws = np.stack([starts.draw(rng)[1] for _ in range(4000)])
    assert draws.dtype == np.float32
    np.testing.assert_allclose(draws.mean(0), [1, -2], atol=4 * 2 / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(0), [0.5, 2], rtol=0.06)


def test_every_start_is_drawn_alike() -> None:
    starts = Starts(np.arange(4, dtype=np.float32)[:, None], np.full((4, 1), -40, np.float32))
    rng = np.random.default_rng(0)
    drawn = [starts.draw(rng) for _ in range(800)]
    assert [place for place, _ in drawn] == [round(float(z[0])) for _, z in drawn]
    counts = np.bincount([place for place, _ in drawn], minlength=4)
    assert (abs(counts - 200) < 4 * np.sqrt(800 * 0.25 * 0.75)).all()


def test_nothing_recorded() -> None:
    with pytest.raises(ReverieError) as caught:
        first_latents(cast(Latents, SimpleNamespace(entries=())))
    expected = "no episode has been encoded, and a dream starts from a recorded first frame; collect some"
    assert str(caught.value) == expected


def test_shapes_that_do_not_agree() -> None:
    with pytest.raises(ReverieError) as caught:
        Starts(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32))
    assert str(caught.value) == "dream starts have mu (2, 3) and logvar (2, 4), expected one [S, Nz] for both"


def test_the_file_of_an_export_holds_what_a_folder_of_latents_does(tmp_path: Path) -> None:
    recorded(tmp_path, 4)
    from_latents = load_starts(tmp_path)
    save_starts(tmp_path / "starts.safetensors", from_latents)
    from_file = load_starts(tmp_path / "starts.safetensors")
    for starts in (from_latents, from_file):
        np.testing.assert_array_equal(starts.mu[:, 0], [0, 1, 2, 3])
        np.testing.assert_array_equal(starts.logvar, -starts.mu)
        assert starts.mu.dtype == starts.logvar.dtype == np.float32


@pytest.mark.parametrize(
    ("shapes", "fault"),
    [
        ({"mu": (2, 3)}, "'logvar'"),
        (
            {"mu": (2, 3), "logvar": (3, 3)},
            "dream starts have mu (2, 3) and logvar (3, 3), expected one [S, Nz] for both",
        ),
        (
            {"mu": (0, 3), "logvar": (0, 3)},
            "dream starts have mu (0, 3) and logvar (0, 3), expected one [S, Nz] for both",
        ),
    ],
)
def test_a_file_of_something_else(shapes: dict[str, tuple[int, ...]], fault: str, tmp_path: Path) -> None:
    file = tmp_path / "starts.safetensors"
    save_arrays(file, {name: np.zeros(shape, np.float16) for name, shape in shapes.items()})
    with pytest.raises(DamagedFileError) as caught:
        load_starts(file)
    assert str(caught.value) == f"{file} does not hold the starts of dreams ({fault}); export it again"
