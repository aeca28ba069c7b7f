"""README and docs keep their promises: links resolve, commands and names exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import make
from dreamctl.errors import BadInput
from dreamctl.store import open_store
from dreamctl.store.database import RECORDED

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_names_the_two_commands_that_the_makefile_has():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "install"):
        assert f"make {target}" in readme and re.search(rf"^{target}:", makefile, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_names_that_a_page_speaks_of_exist(page):
    text = page.read_text()
    for path in re.findall(r"`((?:agent|dreamctl|tests|docs|benchmarks|scripts)/[\w/.]+\.\w+)`", text):
        assert (ROOT / path).exists(), path
    source = "\n".join(path.read_text() for path in (ROOT / "agent").glob("*.py"))
    for owner, name in re.findall(r"`(?:(\w+)\.)(\w+)`", text):
        if (ROOT / "agent" / f"{owner}.py").exists() or re.search(rf"class {owner}\b", source):
            assert re.search(rf"(def|class) {name}\b|\b{name}\b\s*[:=]", source), f"{owner}.{name}"


def test_the_page_of_the_config_is_what_the_program_prints():
    printed = subprocess.run(
        [sys.executable, "-m", "dreamctl", "methods", "--markdown"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "config.md").read_text() == printed.stdout, "dreamctl methods --markdown >docs/config.md"


def test_methods_lists_everything_that_can_be_chosen():
    command = [sys.executable, "-m", "dreamctl", "methods"]
    listed = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert set(listed["methods"]) == {"dreamer", "no_value", "planet"}
    assert set(listed["objectives"]) == {"reconstruction", "contrastive", "reward"}
    assert {f["name"]: f["presets"]["paper"] for f in listed["fields"]} == make("paper").to_dict()
    assert {f["name"]: f["presets"]["tiny"] for f in listed["fields"]} == make("tiny").to_dict()
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in make("paper").to_dict())


def test_commands_of_the_readme_exist():
    from typer.main import get_command

    from dreamctl.cli import app

    commands = set(get_command(app).commands)
    used = set(re.findall(r"^ *(?:\$ )?dreamctl (\w+)", (ROOT / "README.md").read_text(), re.M))
    assert used and used <= commands


def test_recorded_runs_are_read_without_being_written(tmp_path):
    """Their schema is the newest, and no file comes to lie beside what git keeps, also where nothing can be written."""
    before = {path: path.read_bytes() for path in RECORDED.rglob("*") if path.is_file()}
    assert max(map(len, before.values())) < 30 * 2**20

    def run(*command):
        command = [sys.executable, "-m", "dreamctl", *command, "--recorded"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    runs = json.loads(run("ls", "--json").stdout)
    assert runs and all(run["status"] == "finished" and run["score"] is not None for run in runs)
    drawn = run("plot", "curves", "--sweep", "walker_stand-300k", "--format", "png")
    assert drawn.returncode == 0 and (tmp_path / "runs/figures/walker_stand-300k/curves.png").is_file()
    refused = run("ls", "--home", str(tmp_path))
    assert refused.returncode == 2 and "--recorded stands in place of --home" in refused.stderr
    assert {path: path.read_bytes() for path in RECORDED.rglob("*") if path.is_file()} == before


def test_an_empty_home_tells_of_the_recorded_runs(tmp_path):
    command = [sys.executable, "-m", "dreamctl", "plot", "figure4", "--home", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2 and "--recorded" in told.stderr


def test_recorded_runs_are_not_written():
    store = open_store(RECORDED, create=False)
    with pytest.raises(BadInput, match="only read"):
        store.request_stop(store.runs()[0].id)
