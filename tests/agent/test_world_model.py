"""The world model learns, and learns the right alignment of actions with images."""

import torch
from torch.nn.functional import conv_transpose2d

from agent.dreamer import Optimizer
from agent.networks import Decoder, Encoder, embedding_size
from agent.world_model import Batch, WorldModel, preprocess
from tests.agent.conftest import random_batch, small


def blinking(config, generator) -> Batch:
    """A world where the action alone decides the next image: black for -1, white for +1; the reward is the action."""
    shape = (config.batch_length, config.batch_size)
    actions = torch.randint(0, 2, (*shape, 1), generator=generator).float() * 2 - 1
    pixels = ((actions + 1) * 127).to(torch.uint8)[..., None, None]
    images = pixels.expand(*shape, config.image_size, config.image_size, 3)
    return Batch(images.contiguous(), actions, actions.squeeze(-1))


def trained(shift: int) -> tuple[list[float], float]:
    """Losses and the final KL after learning the blinking world, actions shifted in time by `shift`."""
    config = small(deterministic=16, stochastic=4, hidden=16, units=16, batch_size=8, batch_length=8, free_nats=0.0)
    torch.manual_seed(0)
    model = WorldModel(config, 1)
    optimizer = Optimizer(model.parameters(), 3e-3, config)
    generator = torch.Generator().manual_seed(0)
    losses, kl = [], 0.0
    for _ in range(250):
        batch = blinking(config, generator)
        batch = batch._replace(actions=batch.actions.roll(shift, 0))
        noise = torch.randn(config.batch_length, config.batch_size, config.stochastic, generator=generator)
        loss, _, metrics = model.loss(batch, noise)
        optimizer.step(loss)
        losses.append(loss.item())
        kl = metrics["model/kl"].item()
    return losses, kl


def test_the_loss_falls_steeply_and_the_prior_knows_what_an_action_does():
    """Aligned, the prior predicts the image from the action and the posterior has next to nothing to add.

    A model given the action of another time step still draws the image, so its loss falls as well, but its prior must
    guess: this is what finds a misalignment, which no reconstruction loss does.
    """
    (losses, kl), (misaligned_losses, misaligned_kl) = trained(shift=0), trained(shift=-1)
    assert losses[-1] < losses[0] / 10
    assert misaligned_losses[-1] < misaligned_losses[0] / 8
    assert kl < 0.5 and misaligned_kl > 1.5


def test_observe_equals_a_plain_scan_of_single_steps():
    """The restructured scan against the cell applied step by step with the whole weight matrices."""
    config = small()
    torch.manual_seed(0)
    model = WorldModel(config, 2)
    rssm, length, size = model.rssm, config.batch_length, config.batch_size
    embeddings = torch.randn(length, size, embedding_size(config.image_size, config.depth))
    actions, noise = torch.randn(length, size, 2), torch.randn(length, size, config.stochastic)
    posterior, prior = rssm.observe(embeddings, actions, noise, rssm.start(size))
    state = rssm.start(size)
    for t in range(length):
        x = torch.nn.functional.elu(rssm.input(torch.cat([state.stochastic, actions[t]], -1)))
        deterministic = rssm.cell(x, state.deterministic)
        hidden = rssm.posterior_hidden(torch.cat([deterministic, embeddings[t]], -1))
        mean, std = rssm.posterior_out(torch.nn.functional.elu(hidden)).chunk(2, -1)
        std = torch.nn.functional.softplus(std) + config.min_std
        predicted = rssm.imagine_step(state, actions[t], torch.zeros(size, config.stochastic))
        torch.testing.assert_close(posterior.deterministic[t], deterministic)
        torch.testing.assert_close(posterior.mean[t], mean)
        torch.testing.assert_close(posterior.std[t], std)
        torch.testing.assert_close(posterior.stochastic[t], mean + std * noise[t])
        torch.testing.assert_close(prior.mean[t], predicted.mean)
        torch.testing.assert_close(prior.std[t], predicted.std)
        state = type(state)(deterministic, mean + std * noise[t], mean, std)


def test_every_parameter_of_the_world_model_is_trained():
    config = small(free_nats=0.0)
    torch.manual_seed(0)
    model = WorldModel(config, 2)
    noise = torch.randn(config.batch_length, config.batch_size, config.stochastic)
    loss, _, _ = model.loss(random_batch(config, 2), noise)
    gradients = torch.autograd.grad(loss, list(model.parameters()))  # raises for a parameter without a path
    assert all(g.abs().sum() > 0 for g in gradients)


def test_networks_have_the_shapes_and_sizes_of_appendix_b():
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    encoder = Encoder(64, 32)
    assert [tuple(c.weight.shape) for c in encoder.convolutions] == [
        (32, 3, 4, 4),
        (64, 32, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
    ]
    assert encoder(preprocess(images)).shape == (2, 1024)
    decoder = Decoder(230, 64, 32)
    layers = [decoder.first, *decoder.convolutions]
    assert decoder.dense.out_features == 1024
    assert [tuple(c.weight.shape) for c in layers] == [
        (1024, 128, 5, 5),
        (128, 64, 5, 5),
        (64, 32, 6, 6),
        (32, 3, 6, 6),
    ]
    assert decoder(torch.randn(2, 230)).shape == (2, 64, 64, 3)


def test_decoder_equals_its_transposed_convolutions():
    """The matrix product of the first layer and the shuffles of the others, against what they stand for."""
    torch.manual_seed(0)
    for size in (32, 64):
        decoder = Decoder(9, size, 2)
        features = torch.randn(3, 9)
        x = decoder.dense(features)[:, :, None, None]
        for layer in [decoder.first, *decoder.convolutions[:-1]]:
            x = torch.relu(conv_transpose2d(x, layer.weight, layer.bias, stride=2))
        last = decoder.convolutions[-1]
        expected = conv_transpose2d(x, last.weight, last.bias, stride=2).permute(0, 2, 3, 1)
        torch.testing.assert_close(decoder(features), expected)


def test_images_enter_between_minus_and_plus_one_half():
    images = torch.tensor([0, 255], dtype=torch.uint8)
    assert preprocess(images).tolist() == [-0.5, 0.5]
