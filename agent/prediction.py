"""Open-loop prediction (Figure 5): what the world model makes of an episode that it only saw the beginning of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agent.dreamer import Dreamer
from agent.objectives import Reconstruction
from agent.replay import Episode
from agent.rssm import State
from agent.world_model import preprocess

CONTEXT = 5  # images that the model sees
LENGTH = 50  # images in all


class Prediction(NamedTuple):
    """truth and model: [T, S, S, 3] uint8, T <= LENGTH. The model's first CONTEXT images are of posteriors, the others
    of priors, rolled out with the recorded actions.

    The errors are mean squared errors of pixels in [0, 1] after the context: of those images (open loop), of one step
    of the prior from each posterior (one step), and, to hold them against, of the mean of the true images.
    """

    truth: np.ndarray
    model: np.ndarray
    one_step_error: float
    open_loop_error: float
    mean_image_error: float


@torch.inference_mode()
def predict(agent: Dreamer, episode: Episode, generator: torch.Generator) -> Prediction | None:
    """Predict the beginning of an episode; None for an agent without a decoder or an episode within the context."""
    world_model, objective = agent.world_model, agent.world_model.objective
    if not isinstance(objective, Reconstruction) or len(episode.images) <= CONTEXT:
        return None

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array[:LENGTH]).to(agent.device).unsqueeze(1)

    def noise(length: int) -> Tensor:
        return torch.randn(length, 1, agent.config.stochastic, generator=generator, device=agent.device)

    def decode(state: State) -> Tensor:
        return (objective.decoder(state.features.flatten(0, 1)) + 0.5).clamp(0, 1)

    images, actions = preprocess(on_device(episode.images)), on_device(episode.actions)
    length, rssm = len(images), world_model.rssm
    embeddings = world_model.encoder(images.flatten(0, 1)).unsqueeze(1)
    posterior, prior = rssm.observe(embeddings, actions, noise(length), rssm.start(1))
    last = State(*(part[CONTEXT - 1] for part in posterior))
    imagined = rssm.imagine(last, actions[CONTEXT:], noise(length - CONTEXT))
    model = torch.cat([decode(posterior)[:CONTEXT], decode(imagined)])
    truth = images.squeeze(1) + 0.5

    def error(prediction: Tensor) -> float:
        return float((prediction - truth)[CONTEXT:].square().mean())

    pixels = (model * 255).round().to(torch.uint8).cpu().numpy()
    still = truth[CONTEXT:].mean(0, keepdim=True)
    return Prediction(episode.images[:LENGTH], pixels, error(decode(prior)), error(model), error(still))
