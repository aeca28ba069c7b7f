"""The benchmarks work, at their smallest; their figures are in docs/performance.md."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from benchmarks.agreement import agree
from benchmarks.changes import changes
from benchmarks.peer_training import PRINTED, Episode, Printer, configuration, rates
from benchmarks.peer_update import OURS

COMMANDS = {
    "update": ["--size", "tiny", "--repeat", "1", "--cpu-time"],
    "agreement": ["--size", "tiny", "--updates", "2"],
    "changes": ["--size", "tiny", "--repeat", "1"],
    "replay": ["--preset", "smoke", "--episodes", "3", "--repeat", "2"],
    "training": ["--preset", "smoke", "--task", "pendulum_swingup", "--episodes", "1", "--overlap", "0"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_measures(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", *COMMANDS[name], "--device", "cpu", "--json"]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout)
    assert "torch" in found["machine"]
    match name:
        case "update":
            assert found["seconds"]["tiny"].keys() == {"fast", "bfloat16", "plain"}
            assert min(found["seconds"]["tiny"].values()) > 0
        case "agreement":
            found = found["differences"]["tiny"]
            assert agree(found) and 0 < found["fast"]["losses"] < 1e-4
            for wrong in (1e-3, float("nan")):
                assert not agree(found | {"fast64": {"losses": 0.0, "parameters": wrong}})
            assert not agree(found | {"fast": {"losses": 0.0, "parameters": 4 * found["plain"]["parameters"]}})
        case "changes":
            assert found["seconds"]["tiny"].keys() == {"fast", *changes(1)}
        case "replay":
            assert found["sample"] > 0 and found["add"] > 0
        case "training":
            (result,) = found["results"]
            assert result["env_steps_per_second"] > 0 and result["phases"]["update"] > 0


@pytest.mark.parametrize("name", [*COMMANDS, "gpu"])
def test_a_device_that_is_not_there_is_one_line(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, *(["OUT"] if name == "gpu" else []), "--device", "cuda:99"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"benchmarks.{name}").main()
    assert end.value.code == 2 and "device 'cuda:99' asked for, but" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", OURS)
def test_the_update_that_peers_are_compared_with(name):
    """One line asks for one update and gets its wall and CPU time; "arithmetic" says first what it counted."""
    sizes = dict(batch_size=2, batch_length=3, horizon=2, deterministic=4, stochastic=2, hidden=4, units=4, depth=2)
    command = [sys.executable, "-m", "benchmarks.peer_update", name, json.dumps(sizes), "1"]
    done = subprocess.run(command, input="\n\n", capture_output=True, text=True, check=True)
    *counted, ready, first, second = done.stdout.splitlines()
    assert ready == "ready" and len(counted) == (name == "arithmetic")
    assert all(float(seconds) > 0 for line in (first, second) for seconds in line.split())


def test_trainings_side_by_side(capsys):
    """Ours prints what is read of sheeprl; the rate leaves out the seed episodes and the first one after them."""
    Printer().scalars(7000, {"train/return": 12.5, "train/updates": 200})
    Printer().scalars(7000, {"train/return": 1.0})  # a random episode
    (line,) = capsys.readouterr().out.splitlines()
    match = PRINTED.search(line)
    assert int(match[1]) * configuration().action_repeat == 7000 and float(match[2]) == 12.5
    assert PRINTED.search("Rank-0: policy_step=250, reward_env_0=39.862058346246094")
    ends = [(1000, 1, 1), (2000, 2, 2), (3000, 10, 5), (4000, 20, 9), (5000, 30, 13)]
    episodes = [Episode("dreamctl", steps, seconds, cpu, 0.0) for steps, seconds, cpu in ends]
    assert rates(episodes, seed_steps=2000) == (100, 250)
    assert rates(episodes, seed_steps=4000) is None
