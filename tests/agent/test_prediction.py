"""Open-loop prediction: what is seen, what is imagined, and the errors."""

import numpy as np
import pytest
import torch

from agent.dreamer import Dreamer
from agent.prediction import CONTEXT, LENGTH, predict
from agent.replay import Episode
from tests.agent.conftest import small


def episode(length: int, seed: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (length, 32, 32, 3), dtype=np.uint8)
    return Episode(images, rng.uniform(-1, 1, (length, 2)).astype(np.float32), np.zeros(length, np.float32))


def generator():
    return torch.Generator().manual_seed(1)


@pytest.fixture
def agent():
    """Its images tell states apart: the weights of an untrained decoder are stretched."""
    agent = Dreamer(small(), 2, seed=0)
    for parameter in agent.world_model.parameters():
        parameter.data *= 1.5
    return agent


def test_images_after_the_context_are_not_seen_and_all_actions_are(agent):
    plain = episode(60)
    got = predict(agent, plain, generator())
    assert got.model.shape == got.truth.shape == (LENGTH, 32, 32, 3)
    np.testing.assert_array_equal(got.truth, plain.images[:LENGTH])
    unseen = plain.images.copy()
    unseen[CONTEXT:] = 0
    np.testing.assert_array_equal(predict(agent, plain._replace(images=unseen), generator()).model, got.model)
    seen = plain.images.copy()
    seen[CONTEXT - 1] = 0
    assert (predict(agent, plain._replace(images=seen), generator()).model[CONTEXT:] != got.model[CONTEXT:]).any()
    actions = plain.actions.copy()
    actions[20] *= -1  # led to image 20: changes it and what follows
    differs = (predict(agent, plain._replace(actions=actions), generator()).model != got.model).any((1, 2, 3))
    assert not differs[:20].any() and differs[20:].any()


def test_errors_are_of_the_pixels_after_the_context(agent):
    got = predict(agent, episode(12), generator())
    assert len(got.model) == 12
    difference = (got.model[CONTEXT:].astype(float) - got.truth[CONTEXT:]) / 255
    assert got.open_loop_error == pytest.approx((difference**2).mean(), rel=1e-2)  # the pictures are rounded
    assert got.mean_image_error == pytest.approx((got.truth[CONTEXT:] / 255).var(axis=0).mean(), rel=1e-4)


def test_predictions_are_those_of_single_steps(agent):
    """Posterior by posterior; each image after the context from the state before it and the action that led to it."""
    given, got, noise = episode(12), predict(agent, episode(12), generator()), generator()
    rssm, decoder = agent.world_model.rssm, agent.world_model.objective.decoder
    embeddings = agent.world_model.encoder(torch.from_numpy(given.images) / 255 - 0.5)
    actions = torch.from_numpy(given.actions)[:, None]
    eps = torch.randn(12, 1, agent.config.stochastic, generator=noise)
    later = torch.randn(12 - CONTEXT, 1, agent.config.stochastic, generator=noise)
    state, drawn, one_step = rssm.start(1), [], []
    for t in range(12):
        prior = rssm.imagine_step(state, actions[t], torch.zeros(1, agent.config.stochastic))
        one_step.append(decoder(prior.features))
        state, _ = rssm.observe(embeddings[t][None, None], actions[t : t + 1], eps[t : t + 1], state)
        state = state.flatten()
        drawn.append(state)
    imagined = drawn[:CONTEXT]
    for t in range(CONTEXT, 12):
        imagined.append(rssm.imagine_step(imagined[-1], actions[t], later[t - CONTEXT]))
    images = torch.cat([decoder(state.features) for state in imagined]) + 0.5
    np.testing.assert_allclose(got.model, 255 * images.clamp(0, 1).detach().numpy(), atol=0.51)
    predicted = (torch.cat(one_step) + 0.5).clamp(0, 1)[CONTEXT:]
    error = (predicted - torch.from_numpy(given.images[CONTEXT:]) / 255).square().mean().item()
    assert got.one_step_error == pytest.approx(error, rel=1e-5)


def test_without_a_decoder_or_beyond_the_context_there_is_nothing(agent):
    assert predict(agent, episode(CONTEXT), generator()) is None
    assert predict(Dreamer(small(objective="reward"), 2, seed=0), episode(12), generator()) is None
