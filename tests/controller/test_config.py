from __future__ import annotations

import pytest

from reverie.controller.config import ControllerConfig
from reverie.errors import ReverieError


@pytest.mark.parametrize(("features", "size"), [("z", 32), ("zh", 288), ("zch", 544)])
def test_feature_size_without_what_m_expects(features: str, size: int) -> None:
    assert ControllerConfig(features=features).feature_size(32, 256) == size


@pytest.mark.parametrize(("features", "size"), [("zh", 288), ("zha", 291), ("zcha", 547), ("zho", 300), ("zcho", 556)])
def test_what_m_expects_of_c_counts_where_c_sees_it(features: str, size: int) -> None:
    assert ControllerConfig(features=features).feature_size(32, 256, 3, 12) == size


BROKEN = [
    ({"kind": "deep"}, "controller kind is 'deep'; expected linear or hidden"),
    ({"features": "hz"}, "controller features are 'hz'; expected z, zh, zch, zha, zcha, zho or zcho"),
    ({"hidden_size": 0}, "controller hidden_size is 0; expected at least 1"),
]


@pytest.mark.parametrize(("values", "message"), BROKEN)
def test_refuses(values: dict, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        ControllerConfig(**values)
    assert str(error.value) == message
