"""Learning from pixels, as a user would run it: half an hour and more on two idle cores. `make test-slow`."""

import json
import subprocess
import sys

import pytest

from dreamctl.results.curves import random_return
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_tiny_learns_to_stand(tmp_path):
    """`dreamctl run walker_stand --preset tiny` gains at least 400 over the random policy.

    Seen on three seeds: docs/tiny.md.
    """
    command = [sys.executable, "-m", "dreamctl", "run", "walker_stand", "--preset", "tiny", "--home", str(tmp_path)]
    subprocess.run(command, check=True)
    (run,) = json.loads(cli("ls", "--json", home=tmp_path).stdout)
    store = open_store(tmp_path)
    baseline = random_return(store, store.runs())
    print(f"score {run['score']:.1f}, random policy {baseline:.1f}")
    assert run["score"] - baseline >= 400
