"""What trained a run: its digest, the attempts on record, an edited agent beside this one."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import agent
from dreamctl.errors import StaleAttempt
from dreamctl.jobs import launch, scheduler, sweeps, worker
from dreamctl.jobs.launch import submit
from dreamctl.store import code, open_store, provenance
from tests.dreamctl.conftest import QUICK, made_older, spec, typed

ROOT = Path(__file__).parents[2]
SAMPLE = '''"""What a module is for."""  # and so on

# alone
from math import pi  # used


def area(radius):
    """Of a circle,

    # in square metres.
    """
    "é" "again"
    text = f"""{radius!r:>4}~~~

    # {pi} '# inside'
    """  # outside

    return ("é",  # first

            pi * radius**2, text, "# no comment")
'''.replace("~", " ")
ESSENCE = '''
from math import pi
def area(radius):
    text = f"""{radius!r:>4}~~~

    # {pi} '# inside'
    """
    return ("é",
            pi * radius**2, text, "# no comment")'''.replace("~", " ")
OWN, OTHER, THIRD = "0123456789abcdef", "fedcba9876543210", "3f2a91c03f2a91c0"


def test_the_essence_of_a_module_under_every_python():
    assert code.essence(SAMPLE) == ESSENCE.removeprefix("\n")
    with pytest.raises(SyntaxError):
        code.essence("def")


@pytest.mark.parametrize("path", sorted((ROOT / "agent").glob("*.py")), ids=lambda path: path.name)
def test_the_essence_is_the_same_program(path):
    """By Python's own parser, which sees no comment; bodies of docstrings alone, no longer parsed, have `...` here."""

    def bare(tree):
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                kept = [e for e in body if not (isinstance(e, ast.Expr) and isinstance(e.value, ast.Constant))]
                body[:] = kept or [ast.Pass()]
        return ast.dump(tree)

    source = path.read_text()
    lines = code.essence(source).split("\n")
    for row in range(len(lines) - 1, -1, -1):  # a body that was a docstring
        following = next(iter(lines[row + 1 :]), "")
        depth = len(lines[row]) - len(lines[row].lstrip())
        opens = lines[row].endswith(":") and lines[row].lstrip().startswith(("class ", "def "))
        if opens and len(following) - len(following.lstrip()) <= depth:
            lines.insert(row + 1, " " * (depth + 1) + "pass")
    assert bare(ast.parse("\n".join(lines))) == bare(ast.parse(source))


def edited(folder, old, new, name="objectives.py"):
    """A copy of the agent in which one text is another."""
    shutil.copytree(agent.__path__[0], folder / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    source = (folder / "agent" / name).read_text()
    assert source.count(old) == 1
    (folder / "agent" / name).write_text(source.replace(old, new))
    return folder


@pytest.fixture
def digest_of(monkeypatch):
    """The digest that a process with the agent in this folder would have."""

    def digest(folder, task="walker_walk"):
        with monkeypatch.context() as patch:
            patch.setattr(agent, "__path__", [str(folder / "agent")])
            code.digest.cache_clear()
            found = code.digest(task)
        code.digest.cache_clear()
        return found

    return digest


LOSS = "    return 0.5 * mse_loss(prediction, target"


def test_a_comment_is_no_other_code_but_an_expression_is(tmp_path, digest_of):
    ours = code.digest("walker_walk")
    noted = edited(tmp_path / "noted", LOSS, f"    # half\n\n{LOSS}")
    for path in (noted / "agent").glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout may have it
    changed = edited(tmp_path / "changed", LOSS, LOSS.replace("0.5", "0.25"))
    assert digest_of(noted) == ours != digest_of(changed)
    (noted / "agent" / "more.py").write_text("x = 1\n")
    assert digest_of(noted) != ours


def test_a_custom_environment_is_part_of_it(tmp_path, monkeypatch, digest_of):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "mine_of_code.py"
    module.write_text("def make(): ...\n")
    first = digest_of(ROOT, "mine_of_code:make")
    found = [first]
    for text in ("def make(): ...  # noted\n", "def make(): return 1\n", "no python\n"):
        module.write_text(text)
        code._read.cache_clear()
        found.append(digest_of(ROOT, "mine_of_code:make"))
    assert found[1] == first and len(set(found)) == 3 and code.digest("walker_walk") not in found
    assert code.environment("nowhere.at.all:make") is None and code.environment("walker_walk") is None


@pytest.mark.parametrize(
    ("attempts", "begun", "expected"),
    [
        ([(0, "a")], 0, "a"),
        ([(0, "a"), (80, "a")], 0, "a"),
        ([(0, "a"), (80, "b")], 0, "a+b"),
        ([(0, "a"), (80, "b"), (160, "a")], 0, "a+b"),
        ([(0, "a"), (0, "b")], 0, "b"),  # nothing of the first was left
        ([(0, "a"), (80, "b"), (80, "c")], 0, "a+c"),  # nor of the second
        ([(0, "a"), (80, "b"), (160, "c"), (80, "d")], 0, "a+d"),  # it went back
        ([(0, "a"), (80, "b"), (0, "c"), (40, "d")], 0, "c+d"),
        ([(80, "b")], 0, "unknown+b"),  # of before
        ([(80, "b")], 80, "b"),  # a fork
    ],
)
def test_the_code_of_a_run_is_that_of_the_attempts_it_is_built_on(attempts, begun, expected):
    assert code.of_attempts(attempts, begun) == expected


def test_a_code_always_fits_its_column():
    assert len(code.of_attempts([(80 * k, f"{k:016x}") for k in range(50)], 0)) <= 200


def test_codes_are_meant_by_their_beginnings():
    both = f"{OWN}+{OTHER}"
    assert code.fits(OWN, "0123") and code.fits(OTHER, "FED") and not code.fits(OWN, "fed")
    assert code.fits(both, "01+fe") and not code.fits(both, "0123") and not code.fits(OWN, "01+fe")
    assert code.fits("unknown", "unknown") and not code.fits(None, "unknown")
    assert code.short(f"unknown+{OWN}") == "unknown+01234567"


def test_each_attempt_is_on_record_and_only_the_newest_may_write(store):
    run = submit(store, spec())
    assert (run.code, code.of(run), store.attempts(run.id)) == (None, None, [])
    for number, (steps, digest) in enumerate([(0, OWN), (0, OTHER), (80, THIRD)], 1):
        attempt = store.claim(run.id, "cpu")
        store.begin(run.id, attempt, env_steps=steps, code=digest, hardware=f"chip {number}", packages={"mine": "1"})
        with pytest.raises(StaleAttempt):
            store.begin(run.id, attempt - 1, env_steps=0, code=OWN, hardware=None)
        store.heartbeat(run.id, attempt, env_steps=120, updates=1, scalars=[])
        store.finish(run.id, attempt, "stopped")
    found = store.get(run.id)
    assert (found.code, found.hardware, found.packages["mine"]) == (f"{OTHER}+{THIRD}", "chip 3", "1")
    attempts, commit = store.attempts(run.id), provenance.collect()["git_commit"]
    assert [(a.number, a.env_steps, a.code) for a in attempts] == [(1, 0, OWN), (2, 0, OTHER), (3, 80, THIRD)]
    assert all((a.host, a.git_commit) == (found.host, commit) for a in attempts)


def test_a_run_of_before_is_of_unknown_code(store):
    run, waiting = submit(store, spec()), submit(store, spec(1))
    attempt = store.claim(run.id, "cpu")
    store.heartbeat(run.id, attempt, env_steps=80, updates=1, scalars=[])
    store.finish(run.id, attempt, "stopped")
    with store._engine.begin() as connection:
        made_older(connection.exec_driver_sql, "0009")
    store._engine.dispose()
    store = open_store(store.home)
    assert (code.of(store.get(run.id)), code.of(store.get(waiting.id))) == ("unknown", None)
    listed = json.loads(typed("ls", "--where", "code=unknown", "--json", home=store.home).stdout)
    assert [(row["id"], row["code"], row["hardware"]) for row in listed] == [(run.id, "unknown", "unknown")]
    attempt = store.claim(run.id, "cpu")
    store.begin(run.id, attempt, env_steps=80, code=OWN, hardware=None)
    assert store.get(run.id).code == f"unknown+{OWN}"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A home with a run of this code (seed 0), and one (seed 1) of an agent in which one expression differs."""
    folder = tmp_path_factory.mktemp("two")
    store = open_store(folder / "home")
    run = submit(store, spec())
    assert worker.work(store, run.id, "cpu").status == "finished"
    tree = edited(folder / "tree", LOSS, LOSS.replace("0.5", "0.25"))
    shutil.copytree(ROOT / "dreamctl", tree / "dreamctl", ignore=shutil.ignore_patterns("__pycache__", "recorded"))
    settings = [part for item in QUICK for part in ("--set", item)]
    done = elsewhere(tree, "run", "pendulum_swingup", "--preset", "smoke", *settings, "--seed", "1", home=store.home)
    assert done.returncode == 0, done.stderr
    return store, tree, run


def elsewhere(tree, *arguments, home):
    """The program of another tree."""
    command = [sys.executable, "-m", "dreamctl", *arguments, "--home", str(home)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment)


SWEEP = (
    *("sweep", "--tasks", "pendulum_swingup", "--preset", "smoke", "--seeds", "2"),
    *(part for item in QUICK for part in ("--set", item)),
)


def test_two_codes_are_two_groups(two):
    store, _, run = two
    ours, theirs = store.runs()
    assert ours.code == code.digest(run.task) and theirs.code not in (None, ours.code)
    assert ours.hardware == theirs.hardware == provenance.hardware("cpu")
    compared = typed("compare", "--by", "code", "--json", home=store.home)
    assert {row["group"]: row["seeds"] for row in json.loads(compared.stdout)} == {
        f"code={code.short(each.code)}": 1 for each in (ours, theirs)
    }
    assert "codes" not in compared.stderr
    assert "pendulum_swingup dreamer: runs of 2 codes (" in typed("compare", home=store.home).stderr
    drawn = typed("plot", "curves", "--by", "code", "--format", "png", "--json", home=store.home)
    assert drawn.returncode == 0 and "codes" not in drawn.stderr
    csv = Path(json.loads(drawn.stdout)["files"]["csv"]).read_text()
    assert f"code={code.short(ours.code)}" in csv and f"code={code.short(theirs.code)}" in csv
    listed = json.loads(typed("ls", "--where", f"code={theirs.code[:5]}", "--json", home=store.home).stdout)
    assert [row["id"] for row in listed] == [theirs.id]
    assert ours.code in typed("ls", "--columns", "name,code,hardware", home=store.home).stdout


def test_a_sweep_counts_runs_of_other_code_and_trains_them_anew_if_asked(two):
    store, _, run = two
    ours, theirs = store.runs()
    told = f"1 of 2 runs were trained by other code ({code.short(theirs.code)})"
    dry = typed(*SWEEP, "--dry-run", home=store.home).stdout
    assert f"{told}: used; --same-code trains them anew" in " ".join(dry.split())
    dry = typed(*SWEEP, "--dry-run", "--same-code", home=store.home).stdout
    assert f"{told}: trained anew" in " ".join(dry.split()) and "1 finished, 1 missing" in dry
    cells = sweeps.build(None, sweeps.Request(("pendulum_swingup",), None, "2", "smoke", tuple(QUICK))).cells()
    assert launch.existing(store, cells[1]).id == theirs.id

    again = [scheduler.enroll(store, "again", cells, {}, 3, same_code=True) for _ in range(2)]
    members = store.members(again[1].id)
    assert [each.id for each in members][0] == ours.id and members[1].id != theirs.id and len(store.runs()) == 3
    assert (members[1].status, members[1].seed, members[1].code) == ("queued", 1, None)
    assert launch.other_code(store, cells, same_code=True) is None  # they wait to be trained
    attempt = store.claim(members[1].id, "cpu")  # one that is being trained is not other code
    assert launch.existing(store, cells[1], same_code=True).id == members[1].id
    store.begin(members[1].id, attempt, env_steps=0, code=code.digest(run.task), hardware=None)
    store.finish(members[1].id, attempt, "finished")
    assert launch.existing(store, cells[1]).id == members[1].id  # of two that are finished
    store.remove(members[1].id)


def test_a_run_that_other_code_goes_on_with_is_marked(two):
    store, tree, run = two
    done = elsewhere(tree, "run", "--resume", run.id, "--set", "steps=280", home=store.home)
    assert done.returncode == 0, done.stderr
    found, other = store.get(run.id), store.runs()[1]
    assert found.code == f"{code.digest(run.task)}+{other.code}"
    first, second = store.attempts(run.id)
    assert (first.env_steps, second.env_steps, second.code) == (0, 240, other.code)
    shown = " ".join(typed("show", run.id, home=store.home).stdout.split())
    assert "2 codes have trained it" in shown and "from 240 env steps, code" in shown
    attempts = json.loads(typed("show", run.id, "--json", home=store.home).stdout)["attempts"]
    assert [(a["number"], a["env_steps"]) for a in attempts] == [(1, 0), (2, 240)]
    assert "git_diff" not in attempts[0]
