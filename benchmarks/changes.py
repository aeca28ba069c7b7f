"""What each change to the update is worth: `python -m benchmarks.changes [--size small] [--size paper] [--json]`.

The fast update against itself with one change taken back, for each change; interleaved on the same batch, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent.behavior import Behavior, Returns
from agent.device import tune
from agent.dreamer import Dreamer, Optimizer
from agent.networks import Decoder, Encoder, Upsampling
from agent.returns import lambda_return
from agent.rssm import RSSM, State
from agent.world_model import WorldModel
from benchmarks import plain
from benchmarks.machine import available, describe
from benchmarks.update import ACTIONS, SIZES, random_batch


def scan(self: RSSM, embeddings: Tensor, actions: Tensor, noise: Tensor, state: State) -> tuple[State, State]:
    """`RSSM.observe` with everything inside the scan."""
    posteriors, priors = [], []
    for embedding, action, eps in zip(embeddings, actions, noise, strict=True):
        prior = self.imagine_step(state, action, torch.zeros_like(eps))
        hidden = F.elu(self.posterior_hidden(torch.cat([prior.deterministic, embedding], -1)))
        mean, std = self._gaussian(self.posterior_out(hidden))
        state = State(prior.deterministic, mean + std * eps, mean, std)
        posteriors.append(state)
        priors.append(prior)
    stacked = [State(*(torch.stack(parts) for parts in zip(*states, strict=True))) for states in (posteriors, priors)]
    return stacked[0], stacked[1]


def stepwise_returns(self: Behavior, world_model: WorldModel, features: Tensor) -> Returns:
    """`Behavior.returns` of V_lambda with the heads called step by step."""
    rewards = torch.stack([world_model.reward(step) for step in features[:-1]])
    values = torch.stack([self.slow_value(step) for step in features])
    target = lambda_return(rewards, values, self.config.discount, self.config.return_lambda)
    return Returns(target, target)


def backward(self: Optimizer, loss: Tensor) -> Tensor:
    """`Optimizer.step` with the gradients of everything that the loss reaches."""
    for parameter in self.parameters:
        parameter.grad = None
    loss.backward(retain_graph=True)
    norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
    self.adam()
    return norm


@contextmanager
def replaced(*changes: tuple[type, str, Callable[..., Any]]) -> Iterator[None]:
    """Methods of classes replaced by others."""
    with ExitStack() as stack:
        for owner, name, function in changes:
            stack.enter_context(patch.object(owner, name, function))
        yield


def transposed(self: Upsampling, x: Tensor) -> Tensor:
    return F.conv_transpose2d(x, self.weight, self.bias, stride=2)


def changes(batch_size: int) -> dict[str, tuple[tuple[type, str, Callable[..., Any]], ...]]:
    """What is taken back, by name: the methods to replace."""

    def stepwise_encode(self: Encoder, x: Tensor) -> Tensor:
        return torch.cat([plain.encode(self, step) for step in x.split(batch_size)])

    return {
        "decoder: first layer as a product, phases": ((Decoder, "forward", plain.decode),),
        "decoder: phases alone": ((Upsampling, "forward", transposed),),
        "encoder: all steps at once, channels-last": ((Encoder, "forward", stepwise_encode),),
        "posterior scan: projections and prior outside": ((RSSM, "observe", scan),),
        "heads over all imagined steps at once": ((Behavior, "returns", stepwise_returns),),
        "gradients of a loss's own parameters alone": ((Optimizer, "step", backward),),
        "fused Adam": (),  # made below
    }


def measure(size: str, device: str, repeat: int) -> dict[str, float]:
    """Median seconds of the fast update ("fast") and of it without each change."""
    config, batch = SIZES[size], random_batch(SIZES[size], device)
    without = changes(config.batch_size)
    agents = {name: Dreamer(config, ACTIONS, 0, device) for name in ("fast", *without)}
    for optimizer in agents["fused Adam"].optimizers.values():
        optimizer.fused = False
    noise = agents["fast"].noise(batch, 0)
    times: dict[str, list[float]] = {name: [] for name in agents}
    for _ in range(repeat + 2):
        for name, agent in agents.items():
            with replaced(*without.get(name, ())):
                start = time.perf_counter()
                agent.learn(batch, noise)["model/loss"].item()  # waits for the device
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: small, paper]")
    parser.add_argument("--device", type=available, default="auto")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    tune(device)
    sizes = arguments.size or ["small", "paper"]
    results = {size: measure(size, device, arguments.repeat) for size in sizes}
    if arguments.json:
        print(json.dumps({"machine": describe(device), "seconds": results}, indent=2))
        return
    print(f"{describe(device)}\n\n{'without':48}" + "".join(f"{size:>12}{'':8}" for size in sizes))
    for name in results[sizes[0]]:
        print(f"{name:48}", end="")
        for seconds in results.values():
            print(f"{1000 * seconds[name]:10.1f}ms{seconds[name] / seconds['fast']:8.2f}", end="")
        print()


if __name__ == "__main__":
    main()
