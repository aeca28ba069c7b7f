"""One flat, typed, documented configuration; presets and methods are overlays on it.

Every field states its meaning, unit and source. `paper` is Appendix B of the submission, `official` the code
released in 2021, `tiny` learns on two CPU cores, `smoke` runs the whole loop in well under a minute. Values of a
preset that are not named there are those of `paper`.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

_LARGEST = 2**31 - 1  # of a whole number: what databases and tensors count with


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line that says what to do."""


def _field(
    default: Any,
    help: str,
    *,
    unit: str = "",
    source: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    metadata = dict(help=help, unit=unit, source=source, low=low, high=high, choices=choices)
    return field(default=default, metadata=metadata)


class Overlay(NamedTuple):
    """A named choice: what it is, in one line, and the fields that it changes."""

    help: str
    values: dict[str, Any] = {}


METHODS = {
    "dreamer": Overlay("action and value model learned in imagination (Section 3)"),
    "no_value": Overlay(
        "action model on the imagined rewards alone (V_R, Eq. 4), no value model", dict(returns="rewards")
    ),
    "planet": Overlay(
        "no action or value model: online planning by the cross-entropy method in latent space (PlaNet)",
        dict(returns="rewards", horizon=12),
    ),
}

OBJECTIVES = {
    "reconstruction": Overlay("images are decoded from the model state (Eqs. 10-11)"),
    "contrastive": Overlay("model states are told apart by their images, without a decoder (InfoNCE, Eqs. 12-13)"),
    "reward": Overlay("rewards alone, without a decoder"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of one run. Defaults are the preset `paper`."""

    # The agent
    method: str = _field("dreamer", "how behaviour is found", source="Section 3", choices=tuple(METHODS))
    objective: str = _field(
        "reconstruction", "what the representation is learned from", source="Section 4", choices=tuple(OBJECTIVES)
    )

    # Environment
    steps: int = _field(
        2_000_000, "length of the run, seed episodes included", unit="environment steps", source="Figure 7", low=1
    )
    episode_length: int = _field(
        1000, "length of an episode", unit="environment steps", source="Section 5", low=1, high=1000
    )
    action_repeat: int = _field(
        2, "simulator steps that each action is held for", unit="environment steps", source="App. B", low=1
    )
    image_size: int = _field(64, "height and width of an image", unit="pixels", source="Section 5", choices=(64, 32))
    render: str = _field(
        "default",
        "rendering quality: 'exact' leaves MuJoCo's settings, 'default' shrinks the shadow map and the offscreen "
        "buffer (not visible), 'fast' drops shadows and reflections",
        choices=("exact", "default", "fast"),
    )
    seed_episodes: int = _field(
        5, "episodes with random actions before learning", unit="episodes", source="App. B (there C), Alg. 1 (S)", low=1
    )
    exploration_noise: float = _field(
        0.3, "standard deviation of the noise added to the actions of training episodes", source="App. B", low=0
    )
    explore_from: str = _field(
        "mode", "what that noise is added to: the action model's mode or a sample", choices=("mode", "sample")
    )
    evaluate_from: str = _field(
        "mode",
        "the action of evaluation: the action model's mode, or of 100 samples the one of greatest density",
        choices=("mode", "best"),
    )

    # Schedule (Algorithm 1)
    overlap: int = _field(
        0,
        "play episodes and evaluations in processes beside the updates, each episode with the parameters of so many "
        "iterations ago; 0: in turn, as Algorithm 1 is written",
        unit="iterations",
        low=0,
        high=16,
    )
    updates: int = _field(100, "updates between two episodes (C)", unit="updates", source="App. B, Alg. 1", low=1)
    pretrain_updates: int = _field(
        0, "updates before the first episode of the agent, beyond `updates`", unit="updates", low=0
    )
    batch_size: int = _field(50, "sequences in a batch (B)", source="App. B", low=1)
    batch_length: int = _field(50, "length of a sequence (L)", unit="agent steps", source="App. B", low=2)
    eval_every: int = _field(10_000, "distance of two evaluations", unit="environment steps", low=1)
    eval_episodes: int = _field(1, "episodes of an evaluation during training", unit="episodes", low=1)
    final_episodes: int = _field(10, "episodes of the final evaluation", unit="episodes", low=1)
    checkpoint_every: int = _field(10_000, "distance of two checkpoints", unit="environment steps", low=1)

    # World model
    deterministic: int = _field(200, "size of the deterministic state (D)", source="PlaNet", low=1)
    stochastic: int = _field(30, "size of the stochastic state (S)", source="App. B", low=1)
    hidden: int = _field(200, "units of the RSSM's dense layers", source="PlaNet", low=1)
    min_std: float = _field(0.1, "smallest standard deviation of a stochastic state", source="PlaNet", low=0)
    depth: int = _field(32, "channels of the first convolution; the others are its multiples", source="App. B", low=1)
    units: int = _field(300, "units of the reward, value and action models' layers", source="App. B", low=1)
    reward_layers: int = _field(3, "hidden layers of the reward model", source="App. B", low=1)
    kl_scale: float = _field(1.0, "weight of the KL term (beta of Eq. 10)", source="App. B", low=0)
    free_nats: float = _field(3.0, "KL below which the regulariser is silent", unit="nats", source="App. B", low=0)
    free_nats_per: str = _field(
        "step", "apply the free nats to each time step's KL, or to the mean", source="PlaNet", choices=("step", "mean")
    )
    model_lr: float = _field(1e-3, "learning rate of the world model", source="App. B", low=0)

    # Behaviour
    horizon: int = _field(
        20, "imagination horizon, of planet the planning horizon (H)", unit="agent steps", source="App. B", low=2
    )
    returns: str = _field(
        "lambda",
        "what the action model maximises: V_lambda, the n-step V_N^k, or the sum of rewards to the horizon V_R; the "
        "value model always learns V_lambda",
        source="Eqs. 4-6",
        choices=("lambda", "n_step", "rewards"),
    )
    n_step: int = _field(5, "steps of V_N^k, with returns=n_step (k)", unit="agent steps", source="Eq. 5", low=1)
    discount: float = _field(0.99, "discount per agent step (gamma)", source="App. B", low=0, high=1)
    return_lambda: float = _field(
        0.95, "mixing of the n-step returns (lambda of Eq. 6)", source="App. B", low=0, high=1
    )
    value_layers: int = _field(3, "hidden layers of the value model", source="App. B", low=1)
    action_layers: int = _field(3, "hidden layers of the action model", source="App. B", low=1)
    action_mean_scale: float = _field(
        0.0, "squash the action's mean to +-scale before the tanh, scale * tanh(mean / scale); 0: leave it", low=0
    )
    action_init_std: float = _field(
        1.0, "standard deviation of the untrained action model, before the tanh", low=0.01, high=100
    )
    action_min_std: float = _field(
        1e-4, "smallest standard deviation of the action model, before the tanh", source="code", low=0
    )
    slow_value_every: int = _field(
        100, "updates between copies of the value model into the targets' one; 0: no copy", source="App. B", low=0
    )
    discount_weights: bool = _field(False, "weight imagined steps in both behaviour losses by discount^step")
    value_lr: float = _field(3e-4, "learning rate of the value model", source="App. B", low=0)
    action_lr: float = _field(3e-4, "learning rate of the action model", source="App. B", low=0)

    # Online planning (method planet)
    candidates: int = _field(1000, "action sequences tried in an iteration (J)", source="PlaNet", low=1)
    elites: int = _field(100, "best sequences that the next iteration is fitted to (K)", source="PlaNet", low=1)
    iterations: int = _field(10, "iterations of a plan (I)", source="PlaNet", low=1)

    # Arithmetic
    precision: str = _field(
        "float32",
        "of products in convolutions and dense heads of an update: float32 (on a GPU TF32) or bfloat16; the "
        "recurrence, KL, losses, returns and acting are float32 in both",
        choices=("float32", "bfloat16"),
    )

    # Optimisers
    gradient_clip: float = _field(100.0, "largest gradient norm, for each of the three models", source="code", low=0)
    adam_epsilon: float = _field(1e-7, "epsilon of Adam", source="code", low=0)

    def __post_init__(self) -> None:
        for f in fields(self):
            _check(f.name, getattr(self, f.name), f.metadata)
        if self.episode_length % self.action_repeat:
            raise ConfigError(
                f"episode_length {self.episode_length} is no multiple of action_repeat {self.action_repeat}"
            )
        if self.batch_length > self.decisions + 1:
            raise ConfigError(
                f"batch_length {self.batch_length} exceeds an episode's {self.decisions + 1} observations "
                f"(episode_length {self.episode_length} / action_repeat {self.action_repeat} + 1)"
            )
        if self.method != "dreamer" and self.returns != "rewards":
            raise ConfigError(f"method {self.method} has no value model: returns must be rewards, not {self.returns!r}")
        if self.elites > self.candidates:
            raise ConfigError(f"elites {self.elites} exceeds candidates {self.candidates}")

    @property
    def decisions(self) -> int:
        """Agent steps of one episode."""
        return self.episode_length // self.action_repeat

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON scalars."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Inverse of `to_dict`; `ConfigError` for an unknown key."""
        return make("paper", values)


_OFFICIAL: dict[str, Any] = dict(  # docs/algorithm.md says what still differs from that code
    steps=5_000_000,
    model_lr=6e-4,
    value_lr=8e-5,
    action_lr=8e-5,
    horizon=15,
    units=400,
    reward_layers=2,
    value_layers=3,
    action_layers=4,
    slow_value_every=0,
    action_mean_scale=5.0,
    action_init_std=5.0,
    explore_from="sample",
    evaluate_from="best",
    discount_weights=True,
    free_nats_per="mean",
)

_TINY: dict[str, Any] = dict(  # docs/tiny.md says how it was found
    steps=300_000,
    action_repeat=4,
    image_size=32,
    render="fast",
    exploration_noise=0.8,
    batch_size=16,
    batch_length=16,
    eval_episodes=3,
    deterministic=100,
    stochastic=20,
    hidden=100,
    depth=8,
    units=100,
    kl_scale=0.3,
    free_nats=0.0,
    model_lr=2e-3,
    horizon=8,
    discount=0.98,
    action_mean_scale=2.0,
    action_init_std=1.0,
    action_min_std=0.1,
    value_lr=5e-4,
    action_lr=5e-5,
    candidates=200,
    elites=20,
    iterations=5,
)

_SMOKE: dict[str, Any] = _TINY | dict(
    steps=4_000,
    seed_episodes=2,
    updates=5,
    batch_size=4,
    batch_length=8,
    eval_every=2_000,
    eval_episodes=1,
    final_episodes=2,
    checkpoint_every=2_000,
    deterministic=32,
    stochastic=8,
    hidden=32,
    depth=4,
    units=32,
    horizon=5,
    candidates=20,
    elites=5,
    iterations=2,
)

PRESETS = {
    "paper": Overlay("Appendix B of the submission"),
    "official": Overlay("the code released in 2021, which differs from the submission", _OFFICIAL),
    "tiny": Overlay("small networks and images; learns on two CPU cores", _TINY),
    "smoke": Overlay("the whole loop in under a minute, to try things out", _SMOKE),
}


# What a run that goes on from another's checkpoint keeps: what the stored episodes are, the networks' shapes and
# functions, and what counts updates. Everything else may change.
INHERITED = (
    *("method", "objective", "episode_length", "action_repeat", "image_size", "render", "seed_episodes"),
    *("overlap", "updates", "pretrain_updates"),
    *("deterministic", "stochastic", "hidden", "min_std", "depth", "units", "reward_layers", "value_layers"),
    *("action_layers", "action_mean_scale", "action_init_std", "action_min_std", "slow_value_every"),
)


def make(preset: str = "paper", overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a preset, the method's own values in place of the preset's, and some fields changed.

    Strings are parsed by the field's type ('1e-3', 'true'). `ConfigError` names the nearest known preset or key,
    or the range of a value.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {_short(preset)}{nearest(preset, PRESETS)}; presets: {', '.join(PRESETS)}")
    types = {f.name: type(f.default) for f in fields(Config)}
    given = dict(overrides or {})
    method = given.get("method", "dreamer")
    values = PRESETS[preset].values | (METHODS[method].values if isinstance(method, str) and method in METHODS else {})
    for key, value in given.items():
        if key not in types:
            raise ConfigError(f"unknown config key {_short(key)}{nearest(key, types)}")
        values[key] = _parse(key, value, types[key])
    return Config(**values)


def reference() -> list[dict[str, Any]]:
    """Every field: name, type, help, unit, source, choices (if any) and its value in each preset."""
    presets = {name: make(name).to_dict() for name in PRESETS}
    return [
        {"name": f.name, "type": type(f.default).__name__}
        | {key: f.metadata[key] for key in ("help", "unit", "source", "choices")}
        | {"presets": {preset: values[f.name] for preset, values in presets.items()}}
        for f in fields(Config)
    ]


def nearest(name: str, known: Iterable[str]) -> str:
    """', did you mean X?' for the known name closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def _parse(key: str, value: Any, kind: type) -> Any:
    """`value` as `kind`: text is read, an int may stand for a float, a whole float for an int."""
    wrong = ConfigError(f"{key} must be {_NAMES[kind]}, not {_short(value)}")
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise wrong
    if kind is str:
        if isinstance(value, str):
            return value
        raise wrong
    if isinstance(value, bool):
        raise wrong
    try:
        number = float(value)
        if kind is float:
            return number
        if number.is_integer():
            return int(value) if isinstance(value, int) else int(number)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    raise wrong


def _short(value: Any) -> str:
    """A value in a message."""
    text = reprlib.repr(value)[:100]  # of nested lists it may still be long
    return text if text.isprintable() else ascii(text)


_NAMES = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}


def _check(key: str, value: Any, metadata: Mapping[str, Any]) -> None:
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    if choices and value not in choices:
        listed = ", ".join(map(str, choices))
        raise ConfigError(f"{key} must be one of {listed}, not {_short(value)}{nearest(str(value), map(str, choices))}")
    if isinstance(value, float) and not abs(value) < float("inf"):  # also true of NaN
        raise ConfigError(f"{key} must be finite, not {value}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigError(f"{key} must be at most {_LARGEST}")
    if low is not None and value < low:
        raise ConfigError(f"{key} must be at least {low}, not {value}")
    if high is not None and value > high:
        raise ConfigError(f"{key} must be at most {high}, not {value}")
