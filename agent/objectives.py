"""Representation objectives (Section 4): what shapes the latent state besides the reward. Losses are in nats.

An objective is a module that is given the posterior states of a batch and the images they came from, and returns its
loss and the metrics worth recording. `OBJECTIVES` names them; the world model builds the one its config asks for.
"""

from __future__ import annotations

from torch import Tensor, nn

from agent.config import Config
from agent.distributions import gaussian_kl
from agent.networks import Decoder
from agent.rssm import State


def kl_regulariser(posterior: State, prior: State, free_nats: float, per: str) -> tuple[Tensor, Tensor]:
    """The KL term of Eq. 10, posterior against prior, with free nats; and the plain mean KL for the record.

    Below `free_nats` the regulariser is constant: for each time step's KL (`per` "step", as in PlaNet) or for the
    mean over batch and time ("mean", as in the released code). States are [L, B, ...]; returns two scalars.
    """
    kl = gaussian_kl(posterior.mean, posterior.std, prior.mean, prior.std)
    limited = kl.clamp(min=free_nats).mean() if per == "step" else kl.mean().clamp(min=free_nats)
    return limited, kl.mean()


def unit_gaussian_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood under a unit-variance Gaussian, without its constant (Eq. 10: images and rewards).

    Both [L, B, ...]; a sum over everything behind L and B, a mean over those: a scalar.
    """
    length, batch = target.shape[:2]
    return 0.5 * (prediction - target).square().sum() / (length * batch)


class Reconstruction(nn.Module):
    """Eqs. 10-11: an image decoder q(o_t | s_t), a Gaussian of unit variance around its mean image."""

    def __init__(self, config: Config, features: int) -> None:
        super().__init__()
        self.decoder = Decoder(features, config.image_size, config.depth)

    def forward(self, features: Tensor, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """features: [L, B, F]; images: [L, B, S, S, 3] in [-0.5, 0.5]. The loss and its metrics, scalars."""
        decoded = self.decoder(features.flatten(0, 1)).unflatten(0, images.shape[:2])
        loss = unit_gaussian_loss(decoded, images)
        return loss, {"model/image_loss": loss.detach()}


OBJECTIVES: dict[str, type[Reconstruction]] = {"reconstruction": Reconstruction}
