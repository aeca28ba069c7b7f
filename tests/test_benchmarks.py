"""The benchmarks work, at their smallest; their figures are in docs/performance.md."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.changes import CHANGES

COMMANDS = {
    "update": ["--size", "tiny", "--repeat", "1"],
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
            assert found["seconds"]["tiny"].keys() == {"fast", "plain"} and min(found["seconds"]["tiny"].values()) > 0
        case "agreement":
            assert found["agree"] and 0 <= found["differences"]["tiny"]["losses"] < 1e-4
        case "changes":
            assert found["seconds"]["tiny"].keys() == {"fast", *CHANGES}
        case "replay":
            assert found["sample"] > 0 and found["add"] > 0
        case "training":
            (result,) = found["results"]
            assert result["env_steps_per_second"] > 0 and result["phases"]["update"] > 0


def test_the_update_that_peers_are_compared_with():
    """One line asks for one update and gets its wall and CPU time."""
    sizes = dict(batch_size=2, batch_length=3, horizon=2, deterministic=4, stochastic=2, hidden=4, units=4, depth=2)
    command = [sys.executable, "-m", "benchmarks.peer_update", "dreamctl", json.dumps(sizes), "1"]
    done = subprocess.run(command, input="\n\n", capture_output=True, text=True, check=True)
    ready, *updates = done.stdout.splitlines()
    assert ready == "ready" and len(updates) == 2
    assert all(float(seconds) > 0 for line in updates for seconds in line.split())
