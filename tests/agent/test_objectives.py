"""KL, free nats and likelihoods of Eq. 10."""

import math

import pytest
import torch
from torch import distributions as D

from agent.objectives import info_nce, kl_regulariser, unit_gaussian_loss
from agent.rssm import State
from agent.world_model import WorldModel
from tests.agent.conftest import random_batch, small


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


def test_info_nce_against_a_double_loop(float64):
    """J_NCE of Eq. 12, with every density taken one by one; and its gradients."""
    torch.manual_seed(0)
    count, size = 7, 4
    states, mean = (torch.randn(count, size).requires_grad_() for _ in range(2))
    std = (torch.rand(count, size) + 0.1).requires_grad_()
    total = 0.0
    for i in range(count):
        densities = [D.Normal(mean[j], std[j]).log_prob(states[i]).sum() for j in range(count)]
        total = total + densities[i] - torch.log(sum(d.exp() for d in densities))
    expected, got = -total / count, info_nce(states, mean, std)
    torch.testing.assert_close(got, expected)
    for one, two in zip(*(torch.autograd.grad(x, (states, mean, std)) for x in (got, expected)), strict=True):
        torch.testing.assert_close(one, two)


def test_info_nce_of_a_state_model_that_knows_nothing_is_the_log_of_the_number_of_images():
    states = torch.randn(32, 5)
    assert info_nce(states, torch.zeros(32, 5), torch.ones(32, 5)).item() == pytest.approx(math.log(32))
    assert info_nce(100 * states, 100 * states, torch.ones(32, 5)).item() == pytest.approx(0, abs=1e-6)


def test_info_nce_survives_cancellation_in_float32():
    """States far from the origin and near each other, a small standard deviation: the square would lose the digits."""
    torch.manual_seed(0)
    states = 100 + 0.05 * torch.randn(8, 30)
    mean, std = states + 0.1 * torch.randn(8, 30), torch.full((8, 30), 0.1)
    exact = info_nce(states.double(), mean.double(), std.double())
    assert exact > 0.1
    assert info_nce(states, mean, std).item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize("objective", ["reconstruction", "contrastive", "reward"])
def test_each_objective_trains_every_parameter_that_it_has_and_builds_no_other(objective):
    config = small(objective=objective, free_nats=0.0)
    torch.manual_seed(0)
    model = WorldModel(config, 2)
    names = [name for name, _ in model.named_parameters()]
    assert any("decoder" in name for name in names) == (objective == "reconstruction")
    assert any("objective.state" in name for name in names) == (objective == "contrastive")
    noise = torch.randn(config.batch_length, config.batch_size, config.stochastic)
    loss, _, metrics = model.loss(random_batch(config, 2), noise)
    gradients = torch.autograd.grad(loss, list(model.parameters()))  # raises for a parameter without a path
    assert all(g.abs().sum() > 0 for g in gradients)
    terms = metrics["model/reward_loss"] + config.kl_scale * metrics["model/kl"]
    own = {"reconstruction": "model/image_loss", "contrastive": "model/contrastive_loss"}.get(objective)
    torch.testing.assert_close(metrics["model/loss"], terms + (metrics[own] if own else 0))


def test_the_contrastive_term_alone_reaches_all_but_the_reward_model_and_the_prior():
    config = small(objective="contrastive")
    torch.manual_seed(0)
    model = WorldModel(config, 2)
    batch, shape = random_batch(config, 2), (config.batch_length, config.batch_size)
    from agent.world_model import preprocess

    images = preprocess(batch.images)
    embeddings = model.encoder(images.flatten(0, 1)).unflatten(0, shape)
    posterior, _ = model.rssm.observe(
        embeddings, batch.actions, torch.randn(*shape, config.stochastic), model.rssm.start(config.batch_size)
    )
    loss, _ = model.objective(posterior.features, images, embeddings)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    unused = {name for (name, _), g in zip(model.named_parameters(), gradients, strict=True) if g is None}
    assert unused == {n for n, _ in model.named_parameters() if n.startswith(("reward.", "rssm.prior"))}
