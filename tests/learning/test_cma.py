from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from reverie.errors import DamagedFileError, ReverieError
from reverie.learning.cma import CMAES


def hill(x: np.ndarray) -> np.ndarray:
    """A fitness [P] with a different slope along every axis; its top, 0, is at x = 0.5."""
    scales = np.linspace(1, 10, x.shape[1])
    return -((scales * (x - 0.5)) ** 2).sum(1)


def restored(search: CMAES) -> CMAES:
    """What comes back from files: copies of the arrays, and the rest through JSON text."""
    arrays, state = search.to_arrays()
    return CMAES.from_arrays({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(state)))


@pytest.mark.parametrize(("size", "population", "generations"), [(20, 64, 60), (20, 5, 60), (1_088, 64, 10)])
def test_restored_at_any_moment_it_continues_bit_for_bit(size: int, population: int, generations: int) -> None:
    straight = CMAES(size, population, 0.1, seed=7)
    broken = CMAES(size, population, 0.1, seed=7)
    for generation in range(generations):
        if generation % 3 == 1:
            broken = restored(broken)
        np.testing.assert_array_equal(straight.ask(), broken.ask())
        if generation % 4 == 1:
            broken = restored(broken)
            np.testing.assert_array_equal(straight.ask(), broken.ask())
        straight.tell(hill(straight.ask()))
        broken.tell(hill(broken.ask()))
        assert straight.sigma == broken.sigma
    arrays, state = straight.to_arrays()
    others, other = broken.to_arrays()
    assert state == other
    assert state["generation"] == generations
    assert 0 < state["decomposed"] <= generations
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def test_the_state_matters() -> None:
    """The bit-identity test can fail: each array of the state, changed, changes what comes."""
    search = CMAES(20, 12, 0.1, seed=7)
    for _ in range(5):
        search.tell(hill(search.ask()))
    search.ask()
    for name in ("mean", "C", "B", "D", "pc", "ps"):
        arrays, state = search.to_arrays()
        arrays[name] = arrays[name] * 1.5
        changed, same = CMAES.from_arrays(arrays, state), restored(search)
        for _ in range(3):
            for one in (changed, same):
                one.tell(hill(one.ask()))
        assert (changed.ask() != same.ask()).any(), name


def test_it_climbs() -> None:
    search = CMAES(10, 16, 0.3, seed=1)
    for _ in range(150):
        search.tell(hill(search.ask()))
    np.testing.assert_allclose(search.mean, 0.5, atol=1e-3)


def test_first_generation_is_normal_around_zero() -> None:
    x = CMAES(400, 200, 0.1, seed=3).ask()
    assert abs(x.mean()) < 4 * 0.1 / np.sqrt(x.size)
    assert abs(x.std() / 0.1 - 1) < 0.02


def test_seeds_and_generations_draw_apart_and_ask_repeats() -> None:
    search = CMAES(20, 8, 0.1, seed=1)
    first = search.ask()
    np.testing.assert_array_equal(first, search.ask())
    assert (first != CMAES(20, 8, 0.1, seed=2).ask()).all()
    search.tell(np.arange(8.0))
    assert (first != search.ask()).all()


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.get_state()[1].copy()  # noqa: NPY002
    for size in (20, 400):
        search = CMAES(size, 8, 0.1, seed=1)
        for _ in range(3):
            search.tell(hill(search.ask()))
    np.testing.assert_array_equal(np.random.get_state()[1], expected)  # noqa: NPY002


def test_what_is_returned_is_a_copy() -> None:
    search, untouched = CMAES(20, 8, 0.1, seed=1), CMAES(20, 8, 0.1, seed=1)
    search.ask()[:] = 9
    search.mean[:] = 9
    for array in search.to_arrays()[0].values():
        array[:] = 9
    for one in (search, untouched):
        one.tell(hill(one.ask()))
    np.testing.assert_array_equal(search.ask(), untouched.ask())


THREADS = """
import numpy as np
from reverie.learning.cma import CMAES
search = CMAES(400, 16, 0.1, seed=1)
for _ in range(6):
    search.tell(search.ask()[:, 0])
print(np.float64(search.ask().sum()).hex())
"""


def test_threads_of_blas_do_not_matter() -> None:
    """Fails where the products of `ask` and `tell` are left to as many threads as there are."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", THREADS], env={"OPENBLAS_NUM_THREADS": threads}, stdout=subprocess.PIPE, text=True
        )
        for threads in ("1", "2")
    ]
    printed = {program.communicate()[0] for program in programs}
    assert [program.returncode for program in programs] == [0, 0]
    assert len(printed) == 1


def test_importing_it_does_not_import_pycma() -> None:
    code = "import sys, reverie.learning.cma; assert not {'cma', 'matplotlib', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


NOT_FINITE = "fitness of candidate {} in generation 1 is {}, expected a finite number; the world or M returned a reward"


@pytest.mark.parametrize(
    ("fitness", "message"),
    [
        ([1, 2, np.nan, np.nan], NOT_FINITE.format(2, "nan") + " that is not one"),
        ([1, np.inf, 1, 2], NOT_FINITE.format(1, "inf") + " that is not one"),
        ([-np.inf, 1, 1, 2], NOT_FINITE.format(0, "-inf") + " that is not one"),
        ([1, 2, 3], "fitness has shape (3,), expected (4,), one number a candidate"),
    ],
)
def test_refuses_fitness_and_stays_as_it_was(fitness: list[float], message: str) -> None:
    search, untouched = CMAES(5, 4, 0.1, seed=1), CMAES(5, 4, 0.1, seed=1)
    for one in (search, untouched):
        one.tell(hill(one.ask()))
        one.ask()
    with pytest.raises(ReverieError) as error:
        search.tell(np.array(fitness))
    assert str(error.value) == message
    for one in (search, untouched):
        one.tell(hill(one.ask()))
    np.testing.assert_array_equal(search.ask(), untouched.ask())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 8, 0.1), "CMA-ES over 1 parameter(s); expected at least 2"),
        ((5, 3, 0.1), "CMA-ES population is 3; expected at least 4"),
        ((5, 8, 0.0), "CMA-ES sigma is 0.0; expected a finite number above 0"),
        ((5, 8, float("nan")), "CMA-ES sigma is nan; expected a finite number above 0"),
    ],
)
def test_refuses(arguments: tuple[int, int, float], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        CMAES(*arguments, seed=0)
    assert str(error.value) == message


def test_refuses_a_state_that_is_not_one() -> None:
    arrays, state = CMAES(5, 4, 0.1, seed=1).to_arrays()
    with pytest.raises(DamagedFileError) as error:
        CMAES.from_arrays({"mean": arrays["mean"]}, {"size": 5})
    lacking = "C, B, D, pc, ps, population, seed, sigma, generation, told, decomposed"
    assert str(error.value) == f"CMA-ES state lacks {lacking}; it is not a checkpoint of the controller"
    with pytest.raises(DamagedFileError) as error:
        CMAES.from_arrays(arrays | {"B": np.eye(4)}, state)
    assert str(error.value) == "CMA-ES state has B of float64 (4, 4), expected float64 (5, 5)"


def test_tell_needs_ask() -> None:
    with pytest.raises(RuntimeError, match="tell without ask"):
        CMAES(5, 4, 0.1, seed=1).tell(np.zeros(4))
