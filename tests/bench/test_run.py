from __future__ import annotations

from importlib import import_module

import pytest

from reverie.bench.run import CASES, Case, choose
from reverie.errors import ReverieError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_has_its_function(case: Case) -> None:
    module, _, function = case.function.partition(":")
    assert callable(getattr(import_module(f"reverie.bench.{module}"), function))


def test_names() -> None:
    assert choose([]) == CASES
    assert [case.name for case in choose(["workers", "cma"])] == ["cma", "workers"]
    assert [case.name for case in choose(["dream", "dream-car"])] == ["dream-doom", "dream-car", "dream-live"]


def test_unknown_name() -> None:
    with pytest.raises(ReverieError) as error:
        choose(["drem-doom"])
    assert str(error.value) == (
        f"no case 'drem-doom', expected some of {', '.join(case.name for case in CASES)}; did you mean 'dream-doom'?"
    )
