"""What M sees of an action vector, in NumPy and torch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.worlds.spec import ActionKind, ActionSpec

SEEN: list[tuple[ActionKind, list[float], list[float]]] = [
    ("continuous", [-0.4, 0.9], [-0.4, 0.9]),
    ("discrete", [0, 1, 0], [0, 1, 0]),
    ("driving", [-0.5, -1, -0.2], [-0.5, 0, 0]),
    ("driving", [1, 1, 0.7], [1, 1, 0.7]),
    ("driving", [0, 0, 1], [0, 0.5, 1]),
    ("three-way", [-0.34], [-1]),
    ("three-way", [-0.33], [0]),
    ("three-way", [0.33], [0]),
    ("three-way", [0.34], [1]),
]


@pytest.mark.parametrize(("kind", "action", "seen"), SEEN)
def test_for_memory(kind: ActionKind, action: list[float], seen: list[float]) -> None:
    spec = ActionSpec(kind, len(action))
    batch = np.array([action, action], np.float32)
    kept = batch.copy()
    assert spec.for_memory(batch) == pytest.approx(np.array([seen, seen]))
    assert spec.for_memory(torch.from_numpy(batch)).numpy() == pytest.approx(np.array([seen, seen]))
    assert (batch == kept).all()


def test_in_a_mirror_left_and_right_change_places() -> None:
    action = np.array([[0.5, -0.2, 1.0]], np.float32)
    assert ActionSpec("driving", 3).mirrored(action).tolist() == [pytest.approx([-0.5, -0.2, 1.0])]
    assert ActionSpec("three-way", 1).mirrored(torch.tensor([[0.9]])).tolist() == [[pytest.approx(-0.9)]]
    assert action[0, 0] == 0.5
