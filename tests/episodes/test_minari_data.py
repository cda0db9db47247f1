"""Minari: out and in again without the loss of a bit; foreign data sets as episodes of ours."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from reverie.episodes.minari_data import export_minari, import_minari, minari_size
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import ActionSpec
from reverie.worlds.tiny import TINY
from tests.episodes.episodes import make_episode

minari = pytest.importorskip("minari", reason="Minari is not installed: pip install 'reverie[minari]'")
pytest.importorskip("h5py", reason="Minari needs h5py: pip install 'reverie[minari]'")


@pytest.fixture(autouse=True)
def own_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three episodes of 5, 33 and 40 steps with one action, the second one terminated."""
    store = Store(tmp_path / "rollouts")
    for index, steps in enumerate((5, 33, 40)):
        episode = replace(make_episode(steps, seed=index, actions=1), terminated=index == 1)
        store.append(index, episode, seed=100 + index, policy=("held", "sweep", "uniform")[index])
    return store


def _foreign(
    name: str,
    observations: Any,
    actions: Any,
    observation_space: gym.Space,
    action_space: gym.Space,
    rewards: np.ndarray | None = None,
) -> None:
    from minari.data_collector import EpisodeBuffer

    steps = len(actions)
    last = np.arange(1, steps + 1) == steps
    buffer = EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=np.arange(steps, dtype=np.float64) if rewards is None else rewards,  # type: ignore[arg-type]
        terminations=last,  # type: ignore[arg-type]
        truncations=~last & False,  # type: ignore[arg-type]
    )
    spaces = {"observation_space": observation_space, "action_space": action_space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(name, [buffer], **spaces, data_format="hdf5", jpeg_encoding=False)


def test_out_and_in_again_gives_the_same_files(store: Store, tmp_path: Path) -> None:
    folder = export_minari(store, TINY, "tiny/held-v0")
    assert folder == tmp_path / "minari" / "tiny" / "held-v0"
    again = Store(tmp_path / "again")
    import_minari("tiny/held-v0", again, TINY)
    assert again.entries == store.entries  # sizes and SHA-256 of the files among them
    assert minari_size("tiny/held-v0")[0] == 3


def test_minari_itself_reads_it(store: Store) -> None:
    export_minari(store, TINY, "held-v0")
    data = minari.load_dataset("held-v0")
    assert (data.total_episodes, data.total_steps) == (3, 78)
    for found, entry in zip(data.iterate_episodes(), store.entries, strict=True):
        episode = store.read(entry.index)
        assert (found.observations == episode.frames).all()
        assert (found.actions == episode.actions).all()
        assert (found.rewards == episode.rewards).all()
        assert bool(found.terminations[-1]) == episode.terminated
        assert bool(found.truncations[-1]) != episode.terminated
        assert not found.terminations[:-1].any()


def test_an_interrupted_import_goes_on(store: Store, tmp_path: Path) -> None:
    export_minari(store, TINY, "held-v0")
    again = Store(tmp_path / "again")
    again.append(1, store.read(1), seed=101, policy="sweep")
    before = (again.folder / again.entries[0].file).stat().st_mtime_ns
    import_minari("held-v0", again, TINY)
    assert again.entries == store.entries
    assert (again.folder / again.entries[1].file).stat().st_mtime_ns == before


def test_a_foreign_data_set_of_large_images_and_discrete_actions(tmp_path: Path) -> None:
    images = np.repeat(np.arange(5, dtype=np.uint8)[:, None, None, None] * 10, 128, axis=1).repeat(128, 2).repeat(3, 3)
    spaces = gym.spaces.Dict({"x": gym.spaces.Box(0, 1), "image": gym.spaces.Box(0, 255, images.shape[1:], np.uint8)})
    seen = {"x": np.zeros((5, 1), np.float32), "image": images}
    _foreign("blocks-v0", seen, np.array([1, 2, 3, 2]), spaces, gym.spaces.Discrete(3, start=1))
    spec, found = replace(TINY, actions=ActionSpec("discrete", 3)), Store(tmp_path / "found")
    import_minari("blocks-v0", found, spec)
    episode = found.read(0)
    assert (episode.frames == np.arange(5)[:, None, None, None] * 10).all()
    assert episode.actions.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert episode.rewards.tolist() == [0, 1, 2, 3]
    assert (episode.terminated, found.entries[0].policy) == (True, "recorded")


def test_a_foreign_data_set_of_box_actions_and_grey_images(tmp_path: Path) -> None:
    images = np.full((3, 64, 64), 7, np.uint8)
    actions = np.array([[-2.0, 0.0], [2.0, 10.0]])
    box = gym.spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64)
    _foreign("box-v0", images, actions, gym.spaces.Box(0, 255, (64, 64), np.uint8), box)
    found = Store(tmp_path / "found")
    import_minari("box-v0", found, replace(TINY, actions=ActionSpec("continuous", 2)))
    assert found.read(0).actions.tolist() == [[-1, -1], [1, 1]]
    assert (found.read(0).frames == 7).all()


def test_what_cannot_be_used_is_refused(store: Store, tmp_path: Path) -> None:
    nothing = gym.spaces.Box(0, 1, (3,))
    _foreign("numbers-v0", np.zeros((2, 3), np.float32), np.zeros(1), nothing, gym.spaces.Discrete(2))
    export_minari(store, TINY, "held-v0")
    target, car = Store(tmp_path / "target"), world_spec("carracing")
    there = "Minari data set 'held-v0'"
    cases = [
        (lambda: import_minari("numbers-v0", target, TINY), "Minari data set 'numbers-v0' shows no pixels, but Box"),
        (
            lambda: import_minari("held-v0", target, car),
            f"{there} has actions {{'kind': 'continuous', 'size': 1}}, but those of carracing are "
            "driving, 3 of them; take another data set, or the world that it was recorded in",
        ),
        (lambda: import_minari("none-v0", target, TINY), "there is no Minari data set 'none-v0' on this machine"),
        (lambda: export_minari(store, TINY, "held-v0"), f"{there} exists already; choose another name"),
        (lambda: export_minari(store, TINY, "no name"), "Minari data set 'no name' is no name; expected such as"),
        (lambda: export_minari(target, TINY, "x-v0"), f"{target.folder} holds no episodes"),
    ]
    for act, message in cases:
        with pytest.raises(ReverieError) as caught:
            act()
        assert str(caught.value).startswith(message)
    assert not target.entries


def test_an_export_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (store.folder / store.entries[2].file).write_bytes(b"")
    with pytest.raises(ReverieError):
        export_minari(store, TINY, "held-v0")
    assert not (tmp_path / "minari" / "held-v0").exists()


def test_what_minari_joined_is_taken_though_it_lost_our_word_for_it(tmp_path: Path) -> None:
    own = gym.spaces.Box(-1, 1, (3,), np.float32)
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    _foreign("joined-v0", frames, np.eye(3, dtype=np.float32)[[0, 2, 1, 0]], space, own)
    spec = replace(TINY, actions=ActionSpec("discrete", 3))
    import_minari("joined-v0", Store(tmp_path / "joined"), spec)
    assert Store(tmp_path / "joined").read(0).actions.argmax(1).tolist() == [0, 2, 1, 0]
    _foreign("pushed-v0", frames, np.full((4, 3), 0.5, np.float32), space, own)
    with pytest.raises(ReverieError, match="its actions are no choices of one out of several"):
        import_minari("pushed-v0", Store(tmp_path / "pushed"), spec)


def test_the_picture_of_several_is_asked_for_and_masks_are_none(tmp_path: Path) -> None:
    image, mask = gym.spaces.Box(0, 255, (20, 30, 3), np.uint8), gym.spaces.Box(0, 9, (20, 30), np.uint8)
    rng = np.random.default_rng(0)
    shown = {
        "map": rng.integers(0, 256, (5, 20, 30, 3), np.uint8),
        "eyes": rng.integers(0, 256, (5, 20, 30, 3), np.uint8),
    }
    spec = replace(TINY, actions=ActionSpec("mixed", 5, (3, 2)))
    actions = gym.spaces.MultiDiscrete([3, 2])
    taken = np.array([[0, 1], [2, 0], [1, 1], [0, 0]])
    _foreign("two-v0", shown, taken, gym.spaces.Dict({"map": image, "eyes": image}), actions)
    with pytest.raises(ReverieError, match=r"may be pictures, .*; name the one to take, as --world.observation"):
        import_minari("two-v0", Store(tmp_path / "two"), spec)
    import_minari("two-v0", Store(tmp_path / "two"), replace(spec, name="tiny?observation=eyes"))
    episode = Store(tmp_path / "two").read(0)
    assert abs(episode.frames.mean() - shown["eyes"].mean()) < abs(episode.frames.mean() - shown["map"].mean())
    assert episode.actions.tolist()[:2] == [[1, 0, 0, 0, 1], [0, 0, 1, 1, 0]]
    _foreign("mask-v0", {"mask": shown["map"][..., 0] % 9}, taken, gym.spaces.Dict({"mask": mask}), actions)
    with pytest.raises(ReverieError, match="several arrays that may be pictures, mask"):
        import_minari("mask-v0", Store(tmp_path / "mask"), spec)


@pytest.mark.parametrize("spoil", ["cut", "lost"])
def test_a_file_that_is_cut_short_is_named_and_what_came_before_stays(spoil: str, tmp_path: Path, store: Store) -> None:
    import h5py

    file = export_minari(store, TINY, "whole-v0") / "data" / "main_data.hdf5"
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        with h5py.File(file, "a") as data:
            del data["episode_2"]
    with pytest.raises(ReverieError, match=r"cannot be read .*; download or export it again"):
        import_minari("whole-v0", Store(tmp_path / "again"), TINY)
    assert len(Store(tmp_path / "again").entries) == (0 if spoil == "cut" else 2)


def test_pictures_without_the_last_one_are_read(tmp_path: Path) -> None:
    space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    _foreign("short-v0", frames, np.zeros((4, 1), np.float32), space, gym.spaces.Box(-1, 1, (1,), np.float32))
    import_minari("short-v0", Store(tmp_path / "short"), TINY)
    found = Store(tmp_path / "short").read(0).frames
    assert (found[4] == found[3]).all()


def test_a_file_format_that_needs_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    def refuse(name: str) -> None:
        raise ImportError('pyarrow is not installed. Please install it using `pip install "minari[arrow]"`')

    monkeypatch.setattr(minari, "load_dataset", refuse)
    with pytest.raises(ReverieError) as caught:
        minari_size("arrow-v0")
    assert str(caught.value) == (
        "Minari data set 'arrow-v0' cannot be opened: pyarrow is not installed. "
        'Please install it using `pip install "minari[arrow]"`'
    )


@pytest.mark.parametrize(
    ("spoilt", "fault"),
    [
        ({"rewards": np.array([0.0, np.nan])}, "holds NaN or infinity"),
        ({"rewards": np.array([0.0, 1e39])}, "holds NaN or infinity"),
        ({"frames": 5}, "has 5 pictures for 2 steps, expected one more"),
        ({"actions": np.full((2, 3), 0.5)}, r"is not what its spaces say \(.*\)"),
    ],
)
def test_an_episode_that_cannot_be_used_is_named(spoilt: dict[str, Any], fault: str, tmp_path: Path) -> None:
    actions = spoilt.get("actions", np.zeros((2, 1), np.float32))
    image, box = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8), gym.spaces.Box(-1, 1, actions.shape[1:], np.float32)
    _foreign(
        "odd-v0", np.zeros((spoilt.get("frames", 3), 64, 64, 3), np.uint8), actions, image, box, spoilt.get("rewards")
    )
    spec = replace(TINY, actions=ActionSpec("discrete", 3)) if "actions" in spoilt else TINY
    without = r"make a data set without it \(minari.create_dataset_from_buffers\), or mend it where it was recorded"
    with pytest.raises(ReverieError, match=f"^episode 0 of Minari data set 'odd-v0' {fault}; {without}$"):
        import_minari("odd-v0", Store(tmp_path / "odd"), spec)
