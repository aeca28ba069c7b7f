"""One implementation's update, on demand: what `benchmarks.peers` starts, with that implementation's Python.

`python peer_update.py NAME SIZES THREADS`, SIZES as JSON; for every line on standard input one update is made, and its
seconds of wall time and of CPU time are written as one line. The batch is noise and stays the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

Sizes = dict[str, int]  # fields of agent.config.Config
ACTIONS = 6


def dreamctl(sizes: Sizes) -> Callable[[], Any]:
    """This project's."""
    from agent.config import make
    from agent.dreamer import Dreamer
    from benchmarks.update import random_batch

    config = make("paper", sizes)
    agent, batch = Dreamer(config, ACTIONS, 0), random_batch(config, "cpu")
    return lambda: agent.update(batch, 1)


def arithmetic(sizes: Sizes) -> Callable[[], Any]:
    """As many floating-point operations as this project's update has, in square matrix products and nothing else."""
    from torch.utils.flop_counter import FlopCounterMode

    update, side = dreamctl(sizes), 512
    with FlopCounterMode(display=False) as counter:
        update()
    products = max(1, round(counter.get_total_flops() / (2 * side**3)))
    a, b, out = torch.randn(3, side, side).unbind()
    print(f"{counter.get_total_flops() / 1e9:.2f} GFLOP an update", flush=True)
    return lambda: [torch.mm(a, b, out=out) for _ in range(products)]


def settings_of_sheeprl(sizes: Sizes) -> dict[str, Any]:
    """What its command line takes for Dreamer V1 with the same layers everywhere, on the CPU."""
    model = "algo.world_model."
    return {
        "exp": "dreamer_v1",
        "env": "dmc",
        "algo.horizon": sizes["horizon"],
        "algo.dense_units": sizes["units"],
        "algo.mlp_layers": 3,
        model + "reward_model.mlp_layers": 3,
        model + "stochastic_size": sizes["stochastic"],
        model + "recurrent_model.recurrent_state_size": sizes["deterministic"],
        model + "transition_model.hidden_size": sizes["hidden"],
        model + "representation_model.hidden_size": sizes["hidden"],
        model + "encoder.cnn_channels_multiplier": sizes["depth"],
        "algo.per_rank_batch_size": sizes["batch_size"],
        "algo.per_rank_sequence_length": sizes["batch_length"],
        "algo.mlp_keys.encoder": "[]",
    }


def sheeprl(sizes: Sizes) -> Callable[[], Any]:
    """Dreamer V1 of sheeprl with the same layers everywhere."""
    import gymnasium
    import hydra
    import numpy as np
    from lightning.fabric import Fabric
    from omegaconf import OmegaConf
    from sheeprl.algos.dreamer_v1.agent import build_agent
    from sheeprl.algos.dreamer_v1.dreamer_v1 import train
    from sheeprl.utils.utils import dotdict

    batch, length, side = (sizes[k] for k in ("batch_size", "batch_length", "image_size"))
    overrides = settings_of_sheeprl(sizes) | {"metric.log_level": 0}
    with hydra.initialize_config_module("sheeprl.configs", version_base="1.3"):
        composed = hydra.compose("config", [f"{key}={value}" for key, value in overrides.items()])
        config = dotdict(OmegaConf.to_container(composed, resolve=True))
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    images = gymnasium.spaces.Dict({"rgb": gymnasium.spaces.Box(0, 255, (3, side, side), np.uint8)})
    world_model, actor, critic, _ = build_agent(fabric, (ACTIONS,), True, config, images)
    models = {"world_model": world_model, "actor": actor, "critic": critic}
    optimizers = [
        fabric.setup_optimizers(
            hydra.utils.instantiate(config.algo[name].optimizer.as_dict(), params=module.parameters(), _convert_="all")
        )
        for name, module in models.items()
    ]
    shape = (length, batch)
    data = {
        "rgb": torch.randint(0, 256, (*shape, 3, side, side)).float(),
        "actions": torch.rand(*shape, ACTIONS) * 2 - 1,
        "rewards": torch.rand(*shape, 1),
        "is_first": torch.zeros(*shape, 1),
        "terminated": torch.zeros(*shape, 1),
    }
    return lambda: train(fabric, *models.values(), *optimizers, data, None, config)


def torchrl(sizes: Sizes) -> Callable[[], Any]:
    """Dreamer's losses of torchrl over its own modules, put together as its documentation says."""
    from tensordict import TensorDict
    from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictSequential
    from tensordict.nn import TensorDictModule as Module
    from torch import nn
    from torchrl.data import Bounded, Composite, Unbounded
    from torchrl.envs.model_based.dreamer import DreamerEnv
    from torchrl.modules import (
        MLP,
        DreamerActor,
        ObsDecoder,
        ObsEncoder,
        RSSMPosterior,
        RSSMPrior,
        RSSMRollout,
        TanhNormal,
        WorldModelWrapper,
    )
    from torchrl.objectives import DreamerActorLoss, DreamerModelLoss, DreamerValueLoss

    batch, length, side, hidden, units = (
        sizes[k] for k in ("batch_size", "batch_length", "image_size", "hidden", "units")
    )
    belief, state, depth = sizes["deterministic"], sizes["stochastic"], sizes["depth"]
    actions = Bounded(-1, 1, (ACTIONS,))

    def head(outputs: int = 1) -> nn.Module:
        return MLP(belief + state, outputs, depth=3, num_cells=units, activation_class=nn.ELU)

    encoder, decoder = ObsEncoder(depth, in_channels=3), ObsDecoder(depth, latent_dim=belief + state)
    prior = RSSMPrior(actions, hidden, belief, state, action_dim=ACTIONS)
    embedding = encoder(torch.zeros(1, 3, side, side)).shape[-1]
    posterior = RSSMPosterior(hidden, state, rnn_hidden_dim=belief, obs_embed_dim=embedding)
    reward = head()
    nexts = [("next", "state"), ("next", "belief")]
    moments = [("next", "prior_mean"), ("next", "prior_std"), "_", ("next", "belief")]
    seen = [("next", "posterior_mean"), ("next", "posterior_std"), ("next", "state")]
    rollout = RSSMRollout(
        Module(prior, ["state", "belief", "action"], moments),
        Module(posterior, [("next", "belief"), ("next", "encoded_latents")], seen),
    )
    transition = TensorDictSequential(
        Module(encoder, [("next", "pixels")], [("next", "encoded_latents")]),
        rollout,
        Module(decoder, nexts, [("next", "reco_pixels")]),
    )
    world_model = WorldModelWrapper(transition, Module(reward, nexts, [("next", "reward")]))
    actor = ProbabilisticTensorDictSequential(
        Module(DreamerActor(ACTIONS, 3, units), ["state", "belief"], ["loc", "scale"]),
        ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=TanhNormal),
    )
    value = Module(head(), ["state", "belief"], ["state_value"])
    dream = WorldModelWrapper(
        Module(prior, ["state", "belief", "action"], ["_", "_", "state", "belief"]),
        Module(reward, ["state", "belief"], ["reward"]),
    )
    world = DreamerEnv(dream, (state,), (belief,))
    world.observation_spec = Composite(state=Unbounded((state,)), belief=Unbounded((belief,)))
    world.state_spec, world.action_spec, world.reward_spec = world.observation_spec.clone(), actions, Unbounded((1,))
    model_loss = DreamerModelLoss(world_model)
    shape = (batch, length)
    data = TensorDict(
        {
            "state": torch.zeros(*shape, state),
            "belief": torch.zeros(*shape, belief),
            "action": torch.rand(*shape, ACTIONS) * 2 - 1,
            "next": {"pixels": torch.rand(*shape, 3, side, side) - 0.5, "reward": torch.rand(*shape, 1)},
        },
        shape,
    )
    with torch.no_grad():
        actor(TensorDict({"state": torch.zeros(1, state), "belief": torch.zeros(1, belief)}, [1]))  # lazy layers
    actor_loss = DreamerActorLoss(actor, value, world, imagination_horizon=sizes["horizon"], discount_loss=False)
    actor_loss.make_value_estimator(gamma=0.99, lmbda=0.95)
    value_loss = DreamerValueLoss(value, discount_loss=False)
    modules = [world_model, actor, value]
    optimizers = [torch.optim.Adam(module.parameters(), 1e-4) for module in modules]

    def step(index: int, losses: TensorDict) -> None:
        sum(loss.sum() for name, loss in losses.items() if name.startswith("loss_")).backward()
        nn.utils.clip_grad_norm_(modules[index].parameters(), 100)
        optimizers[index].step()
        optimizers[index].zero_grad()

    def update() -> None:
        losses, sampled = model_loss(data)
        step(0, losses)
        states = sampled.select(("next", "state"), ("next", "belief")).get("next").reshape(-1)
        losses, imagined = actor_loss(states)
        step(1, losses)
        losses, _ = value_loss(imagined)
        step(2, losses)

    return update


OURS = {"dreamctl": dreamctl, "arithmetic": arithmetic}
PEERS = {"sheeprl": sheeprl, "torchrl": torchrl}


def main() -> None:
    name, sizes, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    update = (OURS | PEERS)[name](json.loads(sizes))
    update()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        update()
        print(time.perf_counter() - start, time.process_time() - busy, flush=True)


if __name__ == "__main__":
    main()
