"""CarRacing in both engines: the same rules, and a seed's track wherever it is driven."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.worlds.registry import make
from reverie.worlds.vector import WorldVectorEnv

pytest.importorskip("Box2D")
pytest.importorskip("envpool")

ENGINES = ["gymnasium", "envpool"]


def drive(engine: str, seeds: list[int], action: tuple[float, float, float], steps: int) -> tuple[np.ndarray, ...]:
    """The same action all the way: frames [T + 1, n, ...], rewards [T, n], terminated [T, n], truncated [T, n]."""
    worlds = make("carracing", len(seeds), engine=engine)  # type: ignore[arg-type]
    frames, rows = [worlds.reset(seed=seeds)[0]], []
    batch = np.tile(np.array(action, np.float32), (len(seeds), 1))
    for _ in range(steps):
        observed, *row, _ = worlds.step(batch)
        frames.append(observed)
        rows.append(row)
    worlds.close()
    return np.stack(frames), *(np.stack(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_gives_the_same_track_in_every_slot(engine: str) -> None:
    together, rewards, *_ = drive(engine, [3, 7, 9], (0.1, 0, -1), 40)
    alone, reward, *_ = drive(engine, [7], (0.1, 0, -1), 40)
    assert (together[:, 1] == alone[:, 0]).all()
    assert (rewards[:, 1] == reward[:, 0]).all()
    assert (together[:, 0] != together[:, 1]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_masked_reset_begins_the_seed_anew(engine: str) -> None:
    worlds = make("carracing", 2, engine=engine)  # type: ignore[arg-type]
    first, _ = worlds.reset(seed=[1, 2])
    gas = np.tile(np.array([0, 1, -1], np.float32), (2, 1))
    for _ in range(5):
        before, *_ = worlds.step(gas)
    after, _ = worlds.reset(seed=[None, 1], options={"reset_mask": np.array([False, True])})
    assert (after[0] == before[0]).all()
    assert (after[1] == first[0]).all()
    worlds.close()


def test_the_engines_steer_alike() -> None:
    views = {
        (engine, steer): drive(engine, [1, 2], (steer, 0, -1), 55)[0][45:].mean((0, 1))
        for engine in ENGINES
        for steer in (-0.3, 0, 0.3)
    }
    for steer in (-0.3, 0, 0.3):
        alike = {
            other: np.corrcoef(views["gymnasium", steer].ravel(), views["envpool", other].ravel())[0, 1]
            for other in (-0.3, 0, 0.3)
        }
        assert max(alike, key=lambda other: alike[other]) == steer
        assert alike[steer] > 0.98


@pytest.mark.parametrize("engine", ENGINES)
def test_gas_and_brake(engine: str) -> None:
    def moved(gas: float, brake: float) -> float:
        """How much the view changes between the frames 60 and 70, when the zoom has ended."""
        frames = drive(engine, [4], (0, gas, brake), 70)[0][:, 0].astype(np.float32)
        return float(np.abs(frames[70] - frames[60]).mean())

    assert moved(gas=-1, brake=0) < 1  # no gas: it stands
    assert moved(gas=0, brake=-1) > 5
    assert moved(gas=0, brake=1) < moved(gas=0, brake=-1)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_tile_pays_and_every_step_costs(engine: str) -> None:
    _, rewards, *_ = drive(engine, [1, 2], (0, -1, 0), 5)
    assert (rewards[0] > 2).all()  # the tiles under the car
    assert rewards[1:] == pytest.approx(-0.1, abs=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_leaving_the_playfield_terminates_with_minus_100(engine: str) -> None:
    _, rewards, terminated, truncated = drive(engine, [0], (0, -0.7, -1), 400)
    end = int(terminated[:, 0].argmax())
    assert 380 < end < 400
    assert rewards[end, 0] == -100
    assert not truncated.any()
    assert (rewards[end + 1 :] == 0).all()


def test_the_cap_truncates() -> None:
    _, rewards, terminated, truncated = drive("envpool", [1], (0, -1, 0), 1001)
    assert not terminated.any()
    assert int(truncated[:, 0].argmax()) == 999
    assert rewards[:, 0].sum() == pytest.approx(rewards[0, 0] - 99.9, abs=1e-3)


def test_the_dashboard_is_cropped() -> None:
    for engine in ENGINES:
        frames, *_ = drive(engine, [1], (0, -1, 0), 60)
        assert frames[60, 0, -1].mean() > 60  # the dashboard is black, the ground is not


def test_finished_cars_are_not_driven() -> None:
    worlds = make("carracing", 2, engine="envpool")
    worlds.reset(seed=[0, 1])
    batch = np.array([[0, -0.7, -1], [0, -1, 0]], np.float32)
    for _ in range(400):
        frames, _, terminated, _, _ = worlds.step(batch)
    assert terminated.tolist() == [True, False]
    again, rewards, *_ = worlds.step(batch)
    assert (again[0] == frames[0]).all()
    assert rewards[0] == 0
    assert isinstance(worlds, WorldVectorEnv)
    worlds.close()
