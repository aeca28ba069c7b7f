"""README and docs keep their promises: links resolve, commands and names exist."""

import itertools
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agent.config import make
from dreamctl.errors import BadInput
from dreamctl.store import open_store
from dreamctl.store.database import RECORDED
from tests.dreamctl.conftest import typed

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


def commands() -> list[str]:
    """Every `dreamctl ...` in a block of code or between backticks, without comments and what follows a pipe."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^(?:    |.*?; )(?:\$ )?(dreamctl .*)$", text, re.M)
        inline = [" ".join(part.split()) for part in re.findall(r"`(dreamctl [^`]+)`", text)]
        found |= {re.split(r"  +#| # |; | \| | >|&& ", command)[0].strip() for command in blocks + inline}
    return sorted(found)


def readings(command: str) -> list[list[str]]:
    """What a user may type for a documented command: alternatives one by one, placeholders filled in."""
    command = command.replace("|...|", "|").replace("[RUN...]", "RUN RUN").replace("[FIGURE...]", "figure4")
    words = shlex.split(re.sub(r"[\[\]]|\.\.\.", "", command))[1:]
    filled = [{"N": "1", "STEPS": "1000", "PORT": "5000", "KEY=VALUE": "horizon=5"}.get(word, word) for word in words]
    several = [word.split("|") if re.fullmatch(r"[\w-]+(\|[\w-]+)+", word) else [word] for word in filled]
    return [list(choice) for choice in itertools.product(*several)]


@pytest.mark.parametrize("command", commands())
def test_documented_commands_can_be_typed(command):
    """The program's own parser takes them: subcommands, options, the types of their values."""
    from typer.main import get_command

    from dreamctl.cli import app

    for words in readings(command):
        entry = get_command(app)
        while hasattr(entry, "commands") and words and not words[0].startswith("-"):
            assert words[0] in entry.commands, f"no command {words[0]!r}"
            entry, words = entry.commands[words[0]], words[1:]
        if words and words[0] not in ("--help", "--install-completion"):
            try:
                entry.make_context("dreamctl", words)
            except typer.TyperException as error:
                if not re.match(r"Missing|.* requires an argument", error.format_message()):  # named in passing
                    raise AssertionError(f"{command}: {error.format_message()}") from None


def test_commands_are_found_on_every_page_that_shows_how_to_use_it():
    shown = "\n".join(commands())
    for used in ("run walker_walk", "sweep horizon --dry-run", "plot figure7", "compare --by", "export", "ui --port"):
        assert f"dreamctl {used}" in shown


@pytest.mark.parametrize("command", [command for command in commands() if "--recorded" in command])
def test_documented_commands_on_recorded_runs_work(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in readings(command):
        done = typed(*words)
        assert not done.returncode and done.stdout, done.stderr


def test_the_examples_of_the_database_page_run(tmp_path, monkeypatch):
    page = (ROOT / "docs/database.md").read_text()
    (tmp_path / "runs").mkdir()
    shutil.copy(RECORDED / "dreamctl.db", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    queries = re.findall(r"```sql\n(.*?)```", page, re.S)
    with sqlite3.connect("runs/dreamctl.db") as database:
        rows = [len(database.execute(query).fetchall()) for query in queries]
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name, columns in re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", page, re.M):
            known = {column for _, column, *_ in database.execute(f"PRAGMA table_info({name})")}
            assert set(re.findall(r"`(\w+)`", columns)) - {"training", "final", "manual"} <= known
            tables.discard(name)
    assert all(rows[:3]) and rows[3:] == [0] and tables == {"alembic_version"}
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    made: dict = {}
    exec(code, made)
    assert len(made["scores"]) >= 3 and list(made["by_seed"].columns) == [0, 1, 2]


def test_the_hours_of_reproducing_are_the_published_rates_times_the_runs_of_the_sweeps():
    from dreamctl.jobs.sweeps import NAMES, Request, build
    from dreamctl.results.costs import PAPER

    page = (ROOT / "docs/reproducing.md").read_text()
    table = {name: row for name, *row in re.findall(r"`dreamctl sweep ([\w-]+)` \| (\d+) \| ([\d,]+) \|", page)}
    assert set(table) == set(NAMES)
    for name, (runs, hours) in table.items():
        cells = build(name, Request()).cells()
        rates = [PAPER["planet" if cell.config.method == "planet" else "dreamer"] for cell in cells]
        spent = sum(rate * cell.config.steps / 1e6 for rate, cell in zip(rates, cells, strict=True))
        assert (int(runs), int(hours.replace(",", ""))) == (len(cells), spent)


def test_the_site_builds_without_a_warning(tmp_path):
    """Links, anchors, and that no page is left out of the contents."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # of the theme, about its own future
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr and (tmp_path / "database" / "index.html").is_file()


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
    assert refused.returncode == 2 and "--recorded and --home exclude each other" in refused.stderr
    assert {path: path.read_bytes() for path in RECORDED.rglob("*") if path.is_file()} == before


def test_an_empty_home_tells_of_the_recorded_runs(tmp_path):
    command = [sys.executable, "-m", "dreamctl", "plot", "figure4", "--home", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2 and "--recorded" in told.stderr


def test_recorded_runs_are_not_written():
    store = open_store(RECORDED, create=False)
    with pytest.raises(BadInput, match="only read"):
        store.request_stop(store.runs()[0].id)
