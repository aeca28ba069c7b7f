"""Closed forms against torch.distributions and numerical integration."""

import math

import pytest
import torch
from torch import distributions as D

from agent.distributions import gaussian_entropy, gaussian_kl, tanh_log_density


@pytest.fixture
def gaussians():
    generator = torch.Generator().manual_seed(0)
    mean, mean_to = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    std, std_to = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64) + 0.1
    return mean, std, mean_to, std_to


def test_kl_and_its_direction(gaussians):
    mean, std, mean_to, std_to = gaussians
    oracle = D.kl_divergence(D.Normal(mean, std), D.Normal(mean_to, std_to)).sum(-1)
    torch.testing.assert_close(gaussian_kl(mean, std, mean_to, std_to), oracle)
    assert not torch.allclose(gaussian_kl(mean_to, std_to, mean, std), oracle)


def test_entropy(gaussians):
    _, std, _, _ = gaussians
    torch.testing.assert_close(gaussian_entropy(std), D.Normal(torch.zeros_like(std), std).entropy().sum(-1))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.5), (-3.0, 2.0)])
def test_tanh_density_integrates_to_the_gaussians_mass(mean, std):
    """Integrating the density over actions in [a, b] must give the probability of raw in [atanh a, atanh b]."""
    low, high = -0.999, 0.999
    actions = torch.linspace(low, high, 400_001, dtype=torch.float64)
    raw = torch.atanh(actions).unsqueeze(-1)
    density = tanh_log_density(raw, torch.tensor([mean]), torch.tensor([std])).exp()
    normal = D.Normal(torch.tensor(mean, dtype=torch.float64), std)
    mass = normal.cdf(torch.tensor(math.atanh(high))) - normal.cdf(torch.tensor(math.atanh(low)))
    assert torch.trapezoid(density, actions).item() == pytest.approx(mass.item(), abs=1e-5)


def test_tanh_density_where_the_action_rounds_to_one():
    raw = torch.tensor([[30.0], [-30.0]], requires_grad=True)
    assert torch.tanh(raw).abs().tolist() == [[1.0], [1.0]]
    log_density = tanh_log_density(raw, torch.zeros(1), torch.ones(1))
    expected = -0.5 * 30**2 - 0.5 * math.log(2 * math.pi) - (2 * math.log(2) - 2 * 30)
    torch.testing.assert_close(log_density, torch.full((2,), expected))
    log_density.sum().backward()
    assert torch.isfinite(raw.grad).all()
