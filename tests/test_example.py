"""examples/world_models.py: that it runs, and that the fast V, M and dream compute what its plain ones do."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.memory.batch import Batch
from reverie.memory.config import MemoryConfig
from reverie.memory.loss import memory_loss
from reverie.memory.model import MDNRNN
from reverie.vision.model import ConvVAE
from reverie.worlds.spec import ActionSpec, WorldSpec

PATH = Path(__file__).parent.parent / "examples" / "world_models.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("world_models", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["world_models"] = module
    spec.loader.exec_module(module)
    return module


example: Any = load()
SMALL = example.TINY._replace(Nz=6, Na=2, Nh=24)
SMALL_DOOM = example.DOOM._replace(Nz=6, Na=2, Nh=24)
SIZES = {"car": example.CAR, "doom": example.DOOM, "tiny": example.TINY, "small": SMALL}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_is_short_and_stands_alone() -> None:
    text = PATH.read_text()
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    others = {module.split(".")[0] for module in modules} - sys.stdlib_module_names
    assert others == {"cma", "numpy", "PIL", "reverie", "torch"}
    assert [line for line in text.splitlines() if "reverie." in line and "reverie.make(" not in line] == []
    assert len(text.splitlines()) <= 350


@pytest.mark.parametrize(
    ("sizes", "v", "m", "c"), [(example.CAR, 4_348_547, 422_368, 867), (example.DOOM, 4_446_915, 1_678_785, 1_088)]
)
def test_the_paper_s_sizes_have_the_paper_s_parameters(sizes: Any, v: int, m: int, c: int) -> None:
    assert count(example.ConvVAE(sizes)) == v
    assert count(example.MDNRNN(sizes)) == m
    assert example.controller_size(sizes) == c


def fast_vision(sizes: Any) -> tuple[nn.Module, ConvVAE]:
    """A plain V and the library's with the same weights: the layers have the same order and shapes."""
    torch.manual_seed(0)
    plain, fast = example.ConvVAE(sizes), ConvVAE(sizes.Nz)
    with torch.no_grad():
        for ours, theirs in zip(plain.parameters(), fast.parameters(), strict=True):
            ours.mul_(1.5)  # so that nothing hides in a small output
            theirs.copy_(ours)
    return plain, fast


@pytest.mark.parametrize("name", ["car", "doom", "tiny"])
def test_the_fast_v_sees_the_same(name: str) -> None:
    plain, fast = fast_vision(SIZES[name])
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        mu, logvar = plain.encode(x)
        for ours, theirs in zip((mu, logvar), fast.encode(x), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fast.decode(mu), plain.decoder(mu), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 8.0], ids=["free nats", "KL above them"])
def test_the_fast_v_learns_the_same(scale: float) -> None:
    plain, fast = fast_vision(example.CAR)
    with torch.no_grad():
        for mu_layer in (plain.mu, fast.mu):
            mu_layer.weight.mul_(scale * 10)
    x, noise = torch.rand(4, 3, 64, 64), torch.randn(4, 32)
    mu, logvar = plain.encode(x)
    error, kl = example.vision_loss(x, plain.decoder(mu + torch.exp(logvar / 2) * noise), mu, logvar)
    assert (kl > 16.5) == (scale > 1)  # 16 are free
    loss, _ = fast.loss(x, noise, kl_tolerance=0.5)
    torch.testing.assert_close(loss, error + kl, rtol=1e-5, atol=0)
    (error + kl).backward()
    loss.backward()
    for (name, ours), theirs in zip(plain.named_parameters(), fast.parameters(), strict=True):
        assert ours.grad is not None
        size = ours.grad.abs().max().item()
        torch.testing.assert_close(
            theirs.grad, ours.grad, rtol=1e-3, atol=1e-4 * size, msg=lambda m, n=name: f"{n} {m}"
        )


def in_plain_order(sizes: Any, rows: Tensor) -> Tensor:
    """M's outputs (or weights, or gradients) [3 K Nz + heads, ...] from the library's order to the example's."""
    size = 3 * example.K * sizes.Nz
    mixtures = rows[:size].unflatten(0, (3, example.K, sizes.Nz)).transpose(1, 2).flatten(0, 2)
    return torch.cat([mixtures, rows[size:]])


def fast_memory(sizes: Any, reward_scale: float = 2.5) -> tuple[Any, MDNRNN]:
    """A plain M and the library's with the same weights, wide enough that its dreams end on different steps."""
    heads = {"restart_input": sizes.restart, "done_head": sizes.done, "reward_head": sizes.reward}
    config = MemoryConfig(latent_size=sizes.Nz, action_size=sizes.Na, hidden_size=sizes.Nh, mixtures=example.K, **heads)
    plain, fast = example.MDNRNN(sizes), MDNRNN(config)
    torch.manual_seed(1)
    with torch.no_grad():
        fast.reward_scale.fill_(reward_scale)
        fast.head_weight.mul_(3)
        fast.bias.uniform_(-1, 1)
        fast.head_bias.uniform_(-1, 1)
        if sizes.done:
            fast.head_bias[config.mixture_size] = -2.5
            fast.head_weight[config.mixture_size].mul_(4)
        plain.gates.weight.copy_(torch.cat([fast.input_weight, fast.hidden_weight], 1))
        plain.gates.bias.copy_(fast.bias)
        plain.head.weight.copy_(in_plain_order(sizes, fast.head_weight))
        plain.head.bias.copy_(in_plain_order(sizes, fast.head_bias))
        if sizes.reward:
            plain.head.weight[-1] *= reward_scale
            plain.head.bias[-1] *= reward_scale
    return plain, fast


def assert_same_prediction(theirs: Any, ours: Any) -> None:
    for name in ("logits", "mean", "log_std"):
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name), rtol=1e-4, atol=2e-5)
    for their_head, our_head in ((theirs.done_logit, ours.done), (theirs.reward, ours.reward)):
        assert (their_head is None) == (our_head is None)
        if our_head is not None:
            torch.testing.assert_close(their_head, our_head, rtol=1e-4, atol=5e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", SIZES)
def test_the_fast_m_predicts_the_same_over_20_steps(name: str) -> None:
    sizes = SIZES[name]
    plain, fast = fast_memory(sizes)
    z, a = torch.randn(20, 3, sizes.Nz), torch.rand(20, 3, sizes.Na) * 2 - 1
    h = c = torch.zeros(3, sizes.Nh)
    state = fast.initial_state(3)
    restart = torch.zeros(20, 3)
    restart[0] = 1
    for t in range(20):
        h, c = plain.step(z[t], a[t], float(t == 0), h, c)
        state, said = fast.step(state, z[t], a[t], restart[t])
        torch.testing.assert_close(state.h, h, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state.c, c, rtol=1e-4, atol=1e-5)
        assert_same_prediction(said, plain.predict(h))
    _, window = fast(fast.initial_state(3), z.transpose(0, 1), a.transpose(0, 1), restart.t())
    ours = example.Prediction(*(part if part is None else part.transpose(0, 1) for part in plain(z, a)))
    assert_same_prediction(window, ours)


def test_the_fast_m_learns_the_same() -> None:
    plain, fast = fast_memory(SMALL, reward_scale=1.0)
    steps, streams = 12, 5
    z, next_z, a = torch.randn(steps, streams, 6), torch.randn(steps, streams, 6), torch.rand(steps, streams, 2)
    r, done, live = torch.randn(steps, streams), torch.rand(steps, streams).round(), torch.ones(steps, streams)
    restart = torch.zeros(steps, streams)
    restart[0] = 1
    batch = Batch(z=z, action=a, restart=restart, next_z=next_z, done=done, reward=r, next_action=a, has_next=live,
                  hold_steps=live, hold_dies=live)  # fmt: skip
    _, loss, metrics = memory_loss(fast, fast.initial_state(streams), batch)
    terms = example.memory_loss(plain(z, a), next_z, r, done, live)
    for ours, theirs in zip(terms, (metrics["z_nll"], metrics["done"], metrics["reward"]), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    loss.backward()
    sum(terms).backward()
    gates = torch.cat([fast.input_weight.grad, fast.hidden_weight.grad], 1)  # type: ignore[list-item]
    torch.testing.assert_close(gates, plain.gates.weight.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fast.bias.grad, plain.gates.bias.grad, rtol=1e-3, atol=1e-4)
    head = in_plain_order(SMALL, fast.head_weight.grad)  # type: ignore[arg-type]
    torch.testing.assert_close(head, plain.head.weight.grad, rtol=1e-3, atol=1e-4)


def test_what_follows_an_episode_s_end_is_not_learned() -> None:
    plain, _ = fast_memory(SMALL)
    z, a, r, done = torch.randn(7, 2, 6), torch.randn(6, 2, 2), torch.randn(6, 2), torch.zeros(6, 2)
    live = torch.ones(6, 2)
    live[4:, 1] = 0
    terms = example.memory_loss(plain(z[:-1], a), z[1:], r, done, live)
    z[5:, 1], a[4:, 1], r[4:, 1], done[4:, 1] = 9, 9, 9, 1
    assert terms == example.memory_loss(plain(z[:-1], a), z[1:], r, done, live)
    z[4, 1] = 9
    assert terms != example.memory_loss(plain(z[:-1], a), z[1:], r, done, live)


class EngineDreams(NamedTuple):
    """Dreams of the library's engine, and the noise that they met: see `example.dream`."""

    z: Tensor
    uniform: Tensor
    normal: Tensor
    returns: np.ndarray
    lengths: np.ndarray
    latents: list[list[np.ndarray]]  # [P][E] of [length + 1, Nz]


def engine_dreams(
    fast: MDNRNN, controller: Controller, params: np.ndarray, reward: Any, steps: int, tau: float, compiled: bool
) -> EngineDreams:
    """All that these tests know of the engine: dreams of params [P, n], six each, in float32."""
    from reverie.dream.config import DreamConfig
    from reverie.dream.engine import Dream, DreamEngine
    from reverie.dream.noise import EpisodeNoise
    from reverie.dream.starts import Starts
    from reverie.play.loop import Limits, Population, play
    from reverie.report.recording import Recorder

    rng, seeds, size = np.random.default_rng(5), range(6), fast.config.latent_size
    starts = Starts(rng.standard_normal((20, size), np.float32), rng.standard_normal((20, size), np.float32) - 2)
    spec, config = WorldSpec("small", controller.actions, reward, steps), DreamConfig(temperature=tau)
    engine = DreamEngine(fast, starts, spec, config, controller.config, torch.float32, compiled)
    noises = [EpisodeNoise(seed) for seed in seeds]
    first = np.stack([starts.draw(noise.start)[1] for noise in noises])
    draws = [noise.draw(steps, size) for noise in noises]
    uniform, normal = (np.stack([draw[kind] for draw in draws], 1) for kind in (0, 1))
    shape, everyone = (len(params), len(seeds)), list(seeds) * len(params)
    dream, actor = Dream(engine, len(everyone), share_noise=True), np.repeat(np.arange(len(params)), len(seeds))
    recorder = Recorder(lambda: dream.rows.z.numpy(), len(everyone))
    played = play(dream, Population(controller, params, actor, compiled), everyone, Limits(steps), recorder)
    tracks = iter(recorder.tracks())
    latents = [[next(tracks).views for _ in seeds] for _ in params]
    tensors = map(torch.from_numpy, (first, uniform, normal))
    return EngineDreams(*tensors, played.returns.reshape(shape), played.steps.reshape(shape), latents)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", ["small", "doom"])
def test_the_engine_dreams_the_same(name: str, compiled: bool) -> None:
    sizes = SMALL if name == "small" else SMALL_DOOM
    plain, fast = fast_memory(sizes)
    config = ControllerConfig(inputs=("z", "c", "h") if sizes.cell else ("z", "h"), bias=sizes.bias)
    controller = Controller(config, sizes.Nz + sizes.Nh * (1 + sizes.cell), ActionSpec("continuous", sizes.Na))
    assert controller.parameter_count == example.controller_size(sizes)
    params = np.random.default_rng(7).standard_normal((4, controller.parameter_count)) * 0.3
    reward = "predicted" if sizes.reward else "survival"
    theirs = engine_dreams(fast, controller, params, reward, steps=50, tau=1.2, compiled=compiled)
    weights = torch.from_numpy(params).float()
    returns, lengths, latents = example.dream(plain, weights, theirs.z, 1.2, theirs.uniform, theirs.normal)
    np.testing.assert_array_equal(theirs.lengths, lengths)
    assert len(set(theirs.lengths.ravel())) >= 5
    np.testing.assert_allclose(theirs.returns, returns, rtol=1e-3, atol=1e-3)
    for p, e in np.ndindex(4, 6):
        mine = latents[: int(lengths[p, e]) + 1, p, e]
        np.testing.assert_allclose(theirs.latents[p][e], mine, rtol=1e-3, atol=2e-3)


def test_the_whole_runs_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"STEPS": 20, "EPISODES": 8, "V_UPDATES": 4, "V_BATCH": 8, "M_UPDATES": 4, "M_BATCH": 4}
    small |= {"GENERATIONS": 3, "POPULATION": 6, "DREAMS": 2, "GAMES": 3}
    for name, value in small.items():
        assert hasattr(example, name)
        monkeypatch.setattr(example, name, value)
    picture = tmp_path / "world_models.png"
    scores = example.main(0, str(picture))
    assert list(scores) == ["random play", "C in its dream", "C in the real world"]
    for returns in scores.values():
        assert returns.shape == (3,)
        assert np.isfinite(returns).all()
    for name in ("random play", "C in the real world"):
        assert (scores[name] > 0).all()
        assert (scores[name] <= 20).all()
    with Image.open(picture) as image:
        assert image.size == (660, 198)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in lines[-3:]] == list(scores)
    again = example.main(0, str(picture))
    assert all((again[name] == scores[name]).all() for name in scores)
