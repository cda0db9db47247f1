from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reverie.errors import ReverieError
from reverie.evaluation.score import Score
from reverie.reproduction.paired_test import DRAWS, bootstrap_interval, compare, sign_flip_p


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0], 1.0),
        ([1.0] * 5, 2 / 32),
        ([-1.0] * 5, 2 / 32),
        ([3.0, 1.0, 1.0], 2 / 8),
        ([3.0, 1.0, -1.0], 6 / 8),
        ([0.0] * 6, 1.0),
        ([2.0, -2.0], 1.0),
    ],
)
def test_p_of_few_differences_is_exact(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == p


def test_p_is_scipys_permutation_test() -> None:
    rng = np.random.default_rng(0)
    for size in (8, 12, 15):
        ours, theirs = rng.normal(1, 2, size), rng.normal(0, 2, size)
        expected = stats.permutation_test(
            (ours, theirs), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flip_p(ours - theirs) == pytest.approx(expected.pvalue, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.3])
def test_p_of_many_differences_is_near_students(shift: float) -> None:
    differences = np.random.default_rng(1).normal(shift, 1, 100)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected, rel=0.1, abs=0.004)


def test_p_is_never_zero_and_the_same_each_time() -> None:
    sure = np.random.default_rng(2).normal(5, 1, 100)
    assert sign_flip_p(sure) == 1 / (1 + DRAWS)
    unsure = np.random.default_rng(3).normal(0.1, 1, 100)
    assert sign_flip_p(unsure) == sign_flip_p(unsure) == sign_flip_p(-unsure)


def test_the_interval_is_as_wide_as_the_normal_one() -> None:
    differences = np.random.default_rng(4).normal(3, 2, 400)
    low, high = bootstrap_interval(differences)
    error = 1.96 * differences.std() / 20
    assert (low, high) == (
        pytest.approx(differences.mean() - error, abs=0.03),
        pytest.approx(low + 2 * error, abs=0.05),
    )


def test_scores_are_compared_episode_by_episode() -> None:
    ours, theirs = Score.of([5.0, 7.0, 9.0], "tiny", 0), Score.of([4.0, 6.0, 8.0], "tiny", 0)
    test = compare("main", ours, "sweep", theirs)
    assert (test.name, test.against, test.episodes) == ("main", "sweep", 3)
    assert (test.difference, test.low, test.high, test.p) == (1.0, 1.0, 1.0, 0.25)


def test_scores_of_other_seeds_are_not_compared() -> None:
    with pytest.raises(ReverieError) as error:
        compare("main", Score.of([1.0, 2.0], "tiny", 0), "sweep", Score.of([1.0, 2.0], "tiny", 1))
    assert str(error.value) == (
        "main was scored over 2 episodes of seed 0 and sweep over 2 of seed 1; expected the same for both"
    )
