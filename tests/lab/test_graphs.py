"""Each ONNX graph computes what the PyTorch module does, evaluated by ONNX's own reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.controller.senses import expectation_of, features
from reverie.lab import graphs, noise, reference
from reverie.lab.onnx_file import halved, to_onnx
from reverie.memory.config import MemoryConfig
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.worlds.carracing import CARRACING
from reverie.worlds.doom import DOOM
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.lab.sources import HIDDEN, LATENT, memory_of, vision_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

DISCRETE = WorldSpec("made up", ActionSpec("discrete", 4), "predicted", 100)


def evaluate(model: bytes, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(onnx.load_from_string(model))
    given = {name: inputs[name] for name in session.input_names}
    return dict(zip(session.output_names, session.run(None, given), strict=True))


@torch.inference_mode()
def test_v_sees_and_paints_the_same_at_half_the_size() -> None:
    vision = vision_of(0)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1, LATENT)).astype(np.float32)
    whole = to_onnx(graphs.Decoder(vision))
    half = halved(whole)
    assert len(half) < 0.55 * len(whole)
    painted = vision.decode(torch.from_numpy(z))[0].permute(1, 2, 0).numpy() * 255
    for model, tolerance in ((whole, 1e-2), (half, 1.0)):
        pixels = evaluate(model, z=z)["pixels"]
        assert pixels.shape == (64, 64, 4)
        assert np.abs(pixels[..., :3] - painted).max() < tolerance
        assert (pixels[..., 3] == 255).all()
    frame = rng.random((1, 3, 64, 64), np.float32)
    mu, logvar = vision.encode(torch.from_numpy(frame))
    seen = evaluate(halved(to_onnx(graphs.Encoder(vision))), frame=frame)
    np.testing.assert_allclose(seen["mu"], mu, atol=1e-2)
    np.testing.assert_allclose(seen["logvar"], logvar, atol=1e-2)


@pytest.mark.parametrize(
    ("spec", "heads"),
    [
        (DOOM, {"done_head": True, "restart_input": True}),
        (CARRACING, {}),
        (DISCRETE, {"done_head": True, "reward_head": True}),
    ],
    ids=["doom", "car", "discrete"],
)
def test_m_dreams_the_same_for_200_steps(spec: WorldSpec, heads: dict[str, bool]) -> None:
    memory = memory_of(spec, 3, **heads)
    model = onnx.load_from_string(to_onnx(graphs.Dreamer(memory, spec.actions)))
    assert {output.name for output in model.graph.output} == {
        "next_z", "next_h", "next_c", "expected",
        *(["done"] if memory.config.done_head else []), *(["reward"] if memory.config.reward_head else []),
    }  # fmt: skip
    session = onnx.reference.ReferenceEvaluator(model)
    taken = reference.swaying_actions(spec.actions, 200)
    start = np.linspace(-1, 1, LATENT, dtype=np.float32)
    latents = reference.dream_latents(memory, spec.actions, start, taken, seed=5, temperature=1.3)
    state = {"z": start[None], "h": np.zeros((1, HIDDEN), np.float32), "c": np.zeros((1, HIDDEN), np.float32)}
    for step, action in enumerate(taken):
        drawn = {
            "uniform": noise.uniform(5, noise.COMPONENT, step, LATENT)[None],
            "normal": noise.normal(5, noise.SPREAD, step, LATENT)[None],
            "restart": np.array([step == 0], np.float32),
            "temperature": np.array(1.3, np.float32),
        }
        outputs = dict(
            zip(session.output_names, session.run(None, {**state, **drawn, "action": action[None]}), strict=True)
        )
        state = {name: outputs[f"next_{name}"] for name in ("z", "h", "c")}
        assert np.abs(state["z"][0] - latents[step + 1]).max() < 1e-3
    assert latents.std() > 0.3


@torch.inference_mode()
def test_heads_and_the_expected_latent_are_m_s_own() -> None:
    memory = memory_of(DISCRETE, 4, done_head=True, reward_head=True)
    memory.reward_scale.fill_(2.5)
    rng = np.random.default_rng(1)
    z, h, c = (rng.normal(size=(1, size)).astype(np.float32) for size in (LATENT, HIDDEN, HIDDEN))
    action = np.eye(4, dtype=np.float32)[[2]]
    none = np.zeros((1, LATENT), np.float32)
    outputs = evaluate(
        to_onnx(graphs.Dreamer(memory, DISCRETE.actions)),
        z=z, h=h, c=c, action=action, restart=np.zeros(1, np.float32),
        temperature=np.array(0.7, np.float32), uniform=none, normal=none,
    )  # fmt: skip
    state = LSTMState(torch.from_numpy(h), torch.from_numpy(c))
    _, said = memory.step(state, torch.from_numpy(z), torch.from_numpy(action), torch.zeros(1))
    expected = (said.logits.softmax(-1) * said.mean).sum(-1)
    np.testing.assert_allclose(outputs["expected"], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["done"], said.done_logit.sigmoid(), atol=1e-6)
    np.testing.assert_allclose(outputs["reward"], said.reward, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "actions"),
    [
        (ControllerConfig(inputs=("z", "c", "h"), bias=False), DOOM.actions),
        (ControllerConfig(inputs=("z", "h"), hidden_size=5), CARRACING.actions),
        (ControllerConfig(inputs=("z",)), DISCRETE.actions),
        (ControllerConfig(inputs=("z", "c", "h"), hidden_size=5, categorical=True), DOOM.actions),
        (ControllerConfig(inputs=("z", "c", "h", "survival")), DOOM.actions),
        (ControllerConfig(inputs=("z", "h", "survival")), DISCRETE.actions),
        (ControllerConfig(inputs=("z", "h", "action")), CARRACING.actions),
    ],
    ids=["zch", "hidden", "discrete", "categorical", "survival", "survival-discrete", "next-action"],
)
@torch.inference_mode()
def test_c_acts_the_same(config: ControllerConfig, actions: ActionSpec) -> None:
    sizes = {"latent_size": LATENT, "hidden_size": HIDDEN, "action_size": actions.size}
    memory = MDNRNN(MemoryConfig(**sizes, done_head=True, survival_head=(2, 4), action_head=True), seed=4)
    controller = Controller(config, config.feature_size(*memory.config.feature_sizes), actions)
    rng = np.random.default_rng(2)
    params = rng.normal(size=controller.parameter_count)
    model = to_onnx(graphs.Actor(controller, params, memory))
    for _ in range(3):
        z, h, c = (rng.normal(size=(1, size)).astype(np.float32) for size in (LATENT, HIDDEN, HIDDEN))
        state = LSTMState(torch.from_numpy(h), torch.from_numpy(c))
        seen = features(config, torch.from_numpy(z), state, expectation_of(config, memory, actions))
        acted = controller.act(torch.from_numpy(params.astype(np.float32))[None], seen[None])[0]
        np.testing.assert_allclose(evaluate(model, z=z, h=h, c=c)["action"], acted, atol=1e-5)
