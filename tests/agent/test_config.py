"""The config: presets, parsing, errors that help."""

from dataclasses import fields

import pytest

from agent import tasks
from agent.config import PRESETS, Config, ConfigError, make
from agent.rendering import choose_backend


def test_preset_paper_is_appendix_b():
    config = make("paper")
    expected = dict(
        deterministic=200, stochastic=30, hidden=200, units=300, depth=32, batch_size=50, batch_length=50,
        model_lr=1e-3, value_lr=3e-4, action_lr=3e-4, kl_scale=1.0, free_nats=3.0, horizon=20, discount=0.99,
        return_lambda=0.95, slow_value_every=100, seed_episodes=5, updates=100, exploration_noise=0.3,
        action_repeat=2, episode_length=1000, gradient_clip=100.0,
    )  # fmt: skip
    assert {key: getattr(config, key) for key in expected} == expected
    assert config == Config() == make()


def test_preset_official_is_the_released_code():
    config = make("official")
    assert (config.model_lr, config.value_lr, config.action_lr, config.horizon) == (6e-4, 8e-5, 8e-5, 15)
    assert (config.units, config.reward_layers, config.value_layers, config.action_layers) == (400, 2, 3, 4)
    assert (config.slow_value_every, config.action_mean_scale, config.action_init_std) == (0, 5.0, 5.0)
    assert (config.explore_from, config.discount_weights, config.free_nats_per) == ("sample", True, "mean")
    assert (config.evaluate_from, config.steps, config.seed_episodes * config.episode_length) == ("best", 5e6, 5_000)
    assert (config.updates, config.pretrain_updates) == (100, 0)  # its pretraining stands in place of the first 100


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset):
    config = make(preset)
    assert Config.from_dict(config.to_dict()) == config


def test_every_field_is_documented():
    assert all(len(f.metadata["help"]) > 10 for f in fields(Config))


def test_text_is_parsed_by_the_fields_type():
    config = make("tiny", {"model_lr": "3e-4", "discount_weights": "true", "steps": "1e5", "horizon": "10"})
    assert (config.model_lr, config.discount_weights, config.steps, config.horizon) == (3e-4, True, 100_000, 10)
    assert isinstance(config.steps, int)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"horizn": "3"}, "unknown config key 'horizn', did you mean 'horizon'?"),
        ({"horizon": "1"}, "horizon must be at least 2, not 1"),
        ({"horizon": "3.5"}, "horizon must be a whole number, not '3.5'"),
        ({"discount": "1.5"}, "discount must be at most 1, not 1.5"),
        ({"model_lr": "nan"}, "model_lr must be finite, not nan"),
        ({"model_lr": "fast"}, "model_lr must be a number, not 'fast'"),
        ({"discount_weights": "yes"}, "discount_weights must be true or false, not 'yes'"),
        ({"method": "dreamr"}, "method must be one of"),
        ({"method": []}, "method must be text, not []"),
        ({"render": 3}, "render must be text, not 3"),
        ({"action_repeat": "3"}, "episode_length 1000 is no multiple of action_repeat 3"),
        ({"episode_length": "20"}, "batch_length 50 exceeds an episode's 11 observations"),
        ({"episode_length": "2000"}, "episode_length must be at most 1000"),
    ],
)
def test_bad_values_are_refused_in_one_line(overrides, message):
    with pytest.raises(ConfigError) as error:
        make("paper", overrides)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_presets_and_tasks_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        make("papr")
    with pytest.raises(ConfigError, match="did you mean 'walker_walk'"):
        tasks.get("walker_wlk")


def test_there_are_the_papers_20_tasks_and_the_rest_of_the_suite():
    choose_backend()  # else the import takes another, for every test after this one
    from dm_control import suite

    assert len(tasks.TASKS) == 20
    listed = {name: (task.domain, task.task) for name, task in (tasks.TASKS | tasks.MORE).items()}
    assert listed == {f"{domain}_{task}": (domain, task) for domain, task in suite.ALL_TASKS}
    assert {t.camera for t in tasks.TASKS.values() if t.domain == "quadruped"} == {2}
    assert {t.camera for t in tasks.TASKS.values() if t.domain != "quadruped"} == {0}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("cup_catch", "ball_in_cup_catch"),
        ("Cup Catch", "ball_in_cup_catch"),
        ("cartpole-balance-sparse", "cartpole_balance_sparse"),
        ("humanoid_cmu_run", "humanoid_CMU_run"),
    ],
)
def test_tasks_go_by_the_names_that_the_paper_gives_them(typed, meant):
    assert tasks.get(typed).name == meant
