"""Which C a fine-tuning ends with."""

import numpy as np
import pytest

from reverie.errors import DamagedFileError
from reverie.learning.kept import Kept


def filled(size: int, means: list[float]) -> Kept:
    kept = Kept(size, 2)
    for number, mean in enumerate(means):
        kept.add(np.array([number, -number], float), mean)
    return kept


def test_the_best_in_a_row_are_averaged() -> None:
    kept = filled(2, [9, 1, 4, 5, 3, 7, 0])
    assert kept.brought == 5  # 9 and 1, then 3 and 7, which bring no more; 4 and 5 less
    np.testing.assert_array_equal(kept.best, [0.5, -0.5])
    kept.add(np.array([7.0, -7.0]), 11)
    np.testing.assert_array_equal(kept.best, [6.5, -6.5])


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_carried_on_from_its_arrays_it_ends_the_same(stop: int) -> None:
    means = [1.0, 3, 2, 5, 4, 4]
    kept, whole = filled(3, means[:stop]), filled(3, means)
    later = Kept(3, 2)
    later.from_arrays(kept.to_arrays(), "here")
    for number in range(stop, len(means)):
        later.add(np.array([number, -number], float), means[number])
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(later.to_arrays()[name], array)


@pytest.mark.parametrize("name", ["params", "returns", "best", "brought"])
def test_damage_is_named(name: str) -> None:
    arrays = filled(3, [1, 2, 3, 4]).to_arrays()
    kept = filled(3, [8, 9, 10])
    with pytest.raises(DamagedFileError, match=r"^here holds .* kept\.\w+, expected"):
        kept.from_arrays({key: array for key, array in arrays.items() if key != f"kept.{name}"}, "here")
    with pytest.raises(DamagedFileError, match=r"^here holds .* kept\.\w+, expected"):
        kept.from_arrays(arrays | {f"kept.{name}": np.zeros((4, 4))}, "here")
    assert kept.brought == 9
