from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from reverie.hardware import compute_dtype
from reverie.vision.model import ConvVAE, fast_copy, initialise

from .test_layers import scattered


def new(latent_size: int = 8) -> ConvVAE:
    model = ConvVAE(latent_size)
    initialise(model, torch.Generator().manual_seed(0))
    return model


def random_frames(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, 3, 64, 64), generator=torch.Generator().manual_seed(seed))


def noise(count: int, latent_size: int = 8) -> torch.Tensor:
    return torch.randn((count, latent_size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("latent_size", "count"), [(32, 4_348_547), (64, 4_446_915)])
def test_parameter_counts_are_the_papers(latent_size: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in ConvVAE(latent_size).parameters()) == count


def test_it_is_the_papers_network() -> None:
    """Every layer again in NumPy and float64, from the paper's table of kernels and channels."""
    model = new().double()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    x = random_frames(1).double().numpy()

    y = x
    for name, channels, size in (("conv1", 32, 31), ("conv2", 64, 14), ("conv3", 128, 6), ("conv4", 256, 2)):
        windows = sliding_window_view(y, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
        y = np.einsum("bihwkl,oikl->bohw", windows, weights[f"{name}.weight"], optimize=True)
        y = np.maximum(y + weights[f"{name}.bias"][:, None, None], 0)
        assert y.shape == (1, channels, size, size)
    latents = [y.reshape(1, 1024) @ weights[f"{n}.weight"].T + weights[f"{n}.bias"] for n in ("mu", "logvar")]
    for found, expected in zip(model.encode(torch.tensor(x)), latents, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)

    y = (latents[0] @ weights["dense.weight"].T + weights["dense.bias"])[:, :, None, None]
    for name, channels, size in (("deconv1", 128, 5), ("deconv2", 64, 13), ("deconv3", 32, 30), ("deconv4", 3, 64)):
        y = scattered(y, weights[f"{name}.weight"], weights[f"{name}.bias"])
        assert y.shape == (1, channels, size, size)
        y = 1 / (1 + np.exp(-y)) if name == "deconv4" else np.maximum(y, 0)
    np.testing.assert_allclose(model.decode(torch.tensor(latents[0])).detach().numpy(), y, atol=1e-12)


def test_a_centred_one_sees_and_draws_differences_from_the_mean_frame() -> None:
    plain, centred = new(), ConvVAE(8, centred=True)
    mean = random_frames(1, seed=5)[0] * 0.9 + 0.05
    centred.load_state_dict(plain.state_dict() | {"mean_frame": mean})
    x = random_frames(3)
    torch.testing.assert_close(centred.encode(x), plain.encode(x - mean))
    drawn = torch.logit(plain.decode(noise(3))) + mean
    torch.testing.assert_close(centred.draw(noise(3)), drawn, atol=1e-4, rtol=0)
    torch.testing.assert_close(centred.decode(noise(3)), drawn.clamp(0, 1), atol=1e-4, rtol=0)
    assert sum(p.numel() for p in centred.parameters()) == sum(p.numel() for p in plain.parameters())


def test_loss_is_the_papers() -> None:
    """Squared error summed over a frame plus max(KL, 0.5 * Nz), mean over the batch, at z = mu + sigma * noise."""
    model, x, epsilon = new().double(), random_frames(3).double(), noise(3).double()
    loss, metrics = model.loss(x, epsilon, 0.5)
    with torch.no_grad():
        mu, logvar = (out.numpy() for out in model.encode(x))
        x_hat = model.decode(torch.tensor(mu + np.exp(logvar / 2) * epsilon.numpy())).numpy()
    error = ((x.numpy() - x_hat) ** 2).sum((1, 2, 3))
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
    assert metrics["reconstruction"].item() == pytest.approx(error.mean())
    assert metrics["kl"].item() == pytest.approx(kl.mean())
    assert loss.item() == pytest.approx((error + np.maximum(kl, 0.5 * 8)).mean())
    assert metrics["loss"].item() == loss.item()


def test_weights_enter_the_loss_but_not_the_metric() -> None:
    model, x, epsilon = new(), random_frames(2), noise(2)
    plain, plain_metrics = model.loss(x, epsilon, 0.5)
    doubled, metrics = model.loss(x, epsilon, 0.5, weight=torch.full((2, 1, 64, 64), 2.0))
    assert metrics["reconstruction"].item() == pytest.approx(plain_metrics["reconstruction"].item())
    assert (doubled - plain).item() == pytest.approx(metrics["reconstruction"].item(), rel=1e-5)


@pytest.mark.parametrize("name", ["conv1.weight", "logvar.bias", "mu.weight", "deconv1.weight", "deconv4.weight"])
def test_gradients_are_the_slopes_of_the_loss(name: str) -> None:
    model, x, epsilon = new().double(), random_frames(2).double(), noise(2).double()
    parameter = model.get_parameter(name)
    model.loss(x, epsilon, 0.0)[0].backward()
    assert parameter.grad is not None
    direction = parameter.grad / parameter.grad.norm()
    expected, epsilon_step = parameter.grad.norm().item(), 1e-6
    with torch.no_grad():
        losses = []
        for sign in (1, -2):
            parameter += sign * epsilon_step * direction
            losses.append(model.loss(x, epsilon, 0.0)[0].item())
    assert (losses[0] - losses[1]) / (2 * epsilon_step) == pytest.approx(
        expected, rel=1e-3
    )  # some ReLU turns within the step


def test_the_fast_copy_computes_nearly_the_same() -> None:
    model, x, epsilon = new(), random_frames(16), noise(16)
    fast = fast_copy(model)
    assert fast.conv1.weight.dtype == compute_dtype("cpu")
    assert fast.mu.weight.dtype == torch.float32
    for found, expected in zip(fast.encode(x), model.encode(x), strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 0.05 * expected.std()
    assert (fast.decode(epsilon) - model.decode(epsilon)).abs().max() < 0.02
    losses = [one.loss(x, epsilon, 0.5)[0] for one in (fast, model)]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=2e-3)
    for (name, computed), exact in zip(fast.named_parameters(), model.parameters(), strict=True):
        assert computed.grad is not None
        likeness = torch.cosine_similarity(computed.grad.float().flatten(), exact.grad.flatten(), dim=0)
        assert likeness > 0.99, name


def test_two_threads_give_the_same_bits_again() -> None:
    torch.set_num_threads(2)
    x, epsilon = random_frames(16), noise(16)
    gradients = []
    for _ in range(2):
        fast = fast_copy(new())
        fast.loss(x, epsilon, 0.5)[0].backward()
        gradients.append([parameter.grad for parameter in fast.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_initial_weights_are_glorots() -> None:
    model = new()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        else:
            area = int(np.prod(parameter.shape[2:]))
            limit = np.sqrt(6 / (area * (parameter.shape[0] + parameter.shape[1])))
            assert parameter.abs().max() <= limit, name
            assert parameter.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.06), name


def test_initial_weights_follow_the_generator() -> None:
    again, other = new(), ConvVAE(8)
    initialise(other, torch.Generator().manual_seed(5))
    assert torch.equal(again.conv1.weight, new().conv1.weight)
    assert not torch.equal(again.conv1.weight, other.conv1.weight)
