"""The page on questions: every example on it can be asked."""

import itertools
import re
from pathlib import Path

import pytest

from dreamctl.jobs import questions, sweeps
from dreamctl.jobs.contrasts import Cell, contrasts
from dreamctl.jobs.questions import parse
from dreamctl.jobs.reading import read_yaml
from dreamctl.jobs.sweeps import Request

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "questions.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
AXES = {
    "task": ("walker_walk", "cheetah_run", "hopper_hop"),
    "method": ("dreamer", "no_value", "planet"),
    "horizon": ("5", "10", "15", "20"),
    "action_repeat": ("1", "2", "4"),
}  # of the sweep that the page speaks of
GRID = [Cell(" ".join(values), dict(zip(AXES, values, strict=True))) for values in itertools.product(*AXES.values())]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    def load(block):
        file = tmp_path_factory.mktemp("page") / "block.yaml"
        file.write_text(block)
        return file, read_yaml(file)

    return load


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition(":")[0])
def test_each_example_can_be_asked(read, block):
    file, content = read(block)
    if "tasks" in content:
        assert sweeps.read(file).questions and sweeps.read(file).looks
        return
    for name, written in content.items():
        for part in parse(name, written).parts:
            assert contrasts(part, GRID, name)


def test_the_first_is_the_file_that_comes_along():
    path = DOCS / "examples/questions.yaml"
    assert BLOCKS[0] == path.read_text()
    plan = sweeps.build(str(path), Request())
    assert plan.name == "questions" and len(plan.cells()) == 8 and len(plan.questions) == 2


def test_every_key_is_explained_and_has_an_example(read):
    shown = re.sub(r"^```yaml.*?^```", "", PAGE, flags=re.M | re.S)
    used = set()
    for block in BLOCKS[1:]:
        _, content = read(block)
        for written in content.get("questions", content).values():
            used |= {*written, *(key for part in written.get("all", ()) for key in part)}
    assert used == set(questions._KEYS)
    assert all(f"`{outcome}`" in shown for outcome in questions.OUTCOMES)
