from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reverie.vision.coverage import FARTHEST, PROJECTIONS, cells_of, coverage
from reverie.vision.latents import LatentEntry, LatentEpisode, Latents, Part, part_path, write_part

SIZE = 6


def latents_of(folder: Path, episodes: list[np.ndarray], mirrored: bool = False) -> Latents:
    """A folder of episodes with these means [T + 1, SIZE]; actions and rewards are of no matter."""
    folder.mkdir()
    whole = [
        LatentEpisode(
            mu=mu.astype(np.float16),
            logvar=np.zeros(mu.shape, np.float16),
            actions=np.zeros((len(mu) - 1, 1), np.float32),
            rewards=np.zeros(len(mu) - 1, np.float32),
            terminated=True,
        )
        for mu in episodes
    ]
    for mirror in (False, True) if mirrored else (False,):
        entries = tuple(LatentEntry(-1 - i if mirror else i, len(e), 0.0, True, f"{i}") for i, e in enumerate(whole))
        write_part(part_path(folder, 0, mirror), Part("v", entries), whole)
    return Latents(folder)


@pytest.fixture
def walks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(200, SIZE)) for _ in range(6)]


def test_more_episodes_never_see_less_and_the_same_ones_see_nothing_new(
    tmp_path: Path, walks: list[np.ndarray]
) -> None:
    counts = coverage(latents_of(tmp_path / "a", [*walks, *walks]), [2, 4, 6, 12])
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[2] == counts[3]


def test_a_new_place_counts_for_more_than_more_of_the_old(tmp_path: Path, walks: list[np.ndarray]) -> None:
    same = coverage(latents_of(tmp_path / "same", walks), [3, 6])
    elsewhere = coverage(latents_of(tmp_path / "new", [*walks[:3], *(walk + 5 for walk in walks[3:])]), [3, 6])
    assert same[0] == elsewhere[0]
    assert elsewhere[1] - elsewhere[0] > 1.25 * (same[1] - same[0])


def test_standing_still_is_one_cell(tmp_path: Path) -> None:
    assert coverage(latents_of(tmp_path / "a", [np.ones((50, SIZE))] * 2), [1, 2]) == [1, 1]


def test_the_grid_is_laid_by_the_first_episodes(tmp_path: Path, walks: list[np.ndarray]) -> None:
    small = coverage(latents_of(tmp_path / "a", walks), [1, 6])
    scaled = coverage(latents_of(tmp_path / "b", [4 * walk for walk in walks]), [1, 6])
    assert scaled == pytest.approx(small, rel=0.01)  # float16 rounds the two apart
    wide_last = coverage(latents_of(tmp_path / "c", [walks[0], 4 * walks[1]]), [1, 2])
    assert wide_last[1] - wide_last[0] > 0.9 * 200  # hardly two frames in one cell


def test_mirror_images_are_left_out(tmp_path: Path, walks: list[np.ndarray]) -> None:
    plain, mirrored = (latents_of(tmp_path / str(m), walks, m) for m in (False, True))
    assert coverage(plain, [2, 6]) == coverage(mirrored, [2, 6])


def test_cells_have_numbers_of_their_own_however_far_they_lie() -> None:
    far = np.array([[1e9] * PROJECTIONS, [-1e9] * PROJECTIONS, [0.0] * PROJECTIONS, [0.0, 0.0, 0.0, 0.6]])
    numbers = cells_of(far)
    assert len(set(numbers.tolist())) == 4
    assert (numbers >= 0).all()
    assert (2 * FARTHEST + 1) ** PROJECTIONS < 2**63
