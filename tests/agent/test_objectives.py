"""KL, free nats and likelihoods of Eq. 10."""

import math

import torch
from torch import distributions as D

from agent.objectives import kl_regulariser, unit_gaussian_loss
from agent.rssm import State


def state(mean, std):
    return State(torch.zeros(*mean.shape[:-1], 1), mean, mean, std)


def two_steps():
    """KL of 0.125 nats at the first time step, 8 nats at the second."""
    posterior = state(torch.tensor([[[0.5]], [[4.0]]]), torch.ones(2, 1, 1))
    prior = state(torch.zeros(2, 1, 1), torch.ones(2, 1, 1))
    return posterior, prior


def test_free_nats_per_step_limit_each_kl():
    limited, kl = kl_regulariser(*two_steps(), free_nats=3.0, per="step")
    assert limited.item() == (3.0 + 8.0) / 2
    assert kl.item() == (0.125 + 8.0) / 2


def test_free_nats_of_the_mean_limit_the_mean():
    assert kl_regulariser(*two_steps(), free_nats=3.0, per="mean")[0].item() == (0.125 + 8.0) / 2
    assert kl_regulariser(*two_steps(), free_nats=5.0, per="mean")[0].item() == 5.0


def test_no_gradient_below_the_free_nats():
    posterior, prior = two_steps()
    mean = posterior.mean.clone().requires_grad_()
    limited, _ = kl_regulariser(posterior._replace(mean=mean), prior, free_nats=3.0, per="step")
    limited.backward()
    assert mean.grad[0].item() == 0
    assert mean.grad[1].item() == 4.0 / 2  # d/dm of m^2 / 2, mean over two steps


def test_posterior_comes_first_in_the_kl():
    """KL[posterior || prior] explodes when the prior is too narrow, not when the posterior is."""
    narrow, wide = torch.full((1, 1, 1), 0.1), torch.ones(1, 1, 1)
    zero = torch.zeros(1, 1, 1)
    _, good = kl_regulariser(state(zero, narrow), state(zero, wide), 0.0, "step")
    _, bad = kl_regulariser(state(zero, wide), state(zero, narrow), 0.0, "step")
    assert math.isclose(good.item(), 0.5 * (0.01 - 1 - math.log(0.01)), rel_tol=1e-5)
    assert math.isclose(bad.item(), 0.5 * (100 - 1 - math.log(100)), rel_tol=1e-5)


def test_likelihood_is_the_unit_gaussian_up_to_its_constant():
    prediction, target = torch.randn(2, 4, 3, 5, 5)
    constant = 0.5 * math.log(2 * math.pi) * 25
    oracle = -D.Normal(prediction, 1.0).log_prob(target).flatten(2).sum(-1).mean() - constant
    torch.testing.assert_close(unit_gaussian_loss(prediction, target), oracle, rtol=1e-4, atol=1e-4)
