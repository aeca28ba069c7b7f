"""Command lines, settings and files that nobody would type: one line and exit code 2, or what was asked; no traceback.

A bounded number of examples in `make test`; FUZZ=4000 in the environment tries so many of each.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import PRESETS, Config, ConfigError, make
from agent.tasks import TASKS
from dreamctl.errors import BadInput
from dreamctl.jobs import sweeps
from tests.dreamctl.conftest import typed

MANY = int(os.environ.get("FUZZ", 150))
quick = settings(
    max_examples=MANY, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

FIELDS = list(Config().to_dict())
strange = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "nan", "inf", "-inf", "1e400", "9" * 5000, "-1", "0", "true", "None", "[]", "\x1b[2J", "\x00", "=", ",,"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
setting = st.tuples(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), strange).map("=".join)
word = st.one_of(
    strange,
    setting,
    st.sampled_from(
        "--json --seeds --tasks --methods --grid --set --limit --status --tag --lines --checkpoint --episodes --by "
        "--until --preset --where --out --format --yes --dry-run --help walker_walk horizon figure4 curves".split()
    ),
)
# commands that only read, or refuse: nothing is trained, served or followed
command = st.sampled_from(
    [["ls"], ["show"], ["status"], ["logs"], ["rm", "--yes"], ["stop"], ["retry"], ["pause"], ["resume"], ["methods"]]
    + [["compare"], ["sweep", "--dry-run"], ["run", "--resume"], ["nonsense"], []]
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "home"


@quick
@given(command=command, words=st.lists(word, max_size=5))
def test_any_command_line(home, command, words):
    if any(w in ("--watch", "--follow", "-f", "--out", "--home") for w in words):
        return
    done = typed(*command, *words, "--home", home)
    assert done.returncode in (0, 2), (command, words, done.returncode)
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    assert not home.exists()  # there was nothing to read, and nothing was made


@quick
@given(
    preset=st.one_of(st.sampled_from(list(PRESETS)), strange),
    values=st.dictionaries(
        st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)),
        st.one_of(strange, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.none(), max_size=2)),
        max_size=4,
    ),
)
def test_any_config_is_whole_or_refused_in_one_line(preset, values):
    try:
        config = make(preset, values)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 2000
    else:
        assert Config.from_dict(config.to_dict()) == config


nested = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)
plans = st.dictionaries(
    st.sampled_from(sweeps._FILE_KEYS),
    st.one_of(nested, st.sampled_from(sorted(TASKS)), st.dictionaries(st.sampled_from(FIELDS), nested, max_size=2)),
    max_size=5,
)


@quick
@given(content=st.one_of(st.binary(max_size=200), plans, nested))
def test_any_sweep_file_is_a_plan_or_refused_in_one_line(tmp_path_factory, content):
    import yaml

    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content, allow_unicode=True).encode())
    try:
        assert sweeps.build(str(path), sweeps.Request()).cells()
    except BadInput as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 2000
