"""Questions: the contrasts that they become, against plain loops over the grid; whatever a file may hold."""

import itertools
import math
import os

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamctl.errors import BadInput
from dreamctl.jobs import questions, sweeps
from dreamctl.jobs.contrasts import Cell, contrasts
from dreamctl.jobs.questions import parse
from tests.dreamctl.conftest import typed

MANY = int(os.environ.get("FUZZ", 40))
quick = settings(
    max_examples=MANY, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

TASKS, METHODS, HORIZONS = ("walker_walk", "hopper_hop"), ("dreamer", "no_value", "planet"), ("3", "5", "20")
GRID = [
    Cell(f"{task}, method={method}, horizon={horizon}", {"task": task, "method": method, "horizon": horizon})
    for task, method, horizon in itertools.product(TASKS, METHODS, HORIZONS)
]
means = st.lists(st.floats(1, 1000), min_size=len(GRID), max_size=len(GRID)).map(
    lambda values: {cell.key: value for cell, value in zip(GRID, values, strict=True)}
)
tasks, methods, horizons = (st.sampled_from(values) for values in (TASKS, METHODS, HORIZONS))
two = st.permutations(METHODS).map(lambda order: order[:2])


def asked(**fields):
    (part,) = parse("q", {"asks": "?", **fields}).parts
    return part


def values(means, **fields):
    """{name of a contrast: its value} with these means of the cells."""
    part = asked(**fields)
    of = math.log if part.scale == "ratio" else float
    return {
        one.name: sum(
            sum(t.weight * of(sum(means[key] for key in t.cells) / len(t.cells)) for t in s.terms) + s.constant
            for s in one.strata
        )
        / len(one.strata)
        for one in contrasts(part, GRID, "q")
    }


def mean(means, **wanted):
    """The mean over all cells with these values."""
    found = [means[c.key] for c in GRID if all(c.at[field] == value for field, value in wanted.items())]
    return sum(found) / len(found)


def close(found, expected):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)


@quick
@given(
    means=means, two=two, share=st.sampled_from([1.0, 0.8, 2.0]), by=st.sampled_from([0, 30, -20]), worse=st.booleans()
)
def test_a_group_less_a_share_of_another_averaged_over_the_rest(means, two, share, by, worse):
    ours, theirs = two
    found = values(
        means, **{"worse" if worse else "better": {"method": ours}}, than={"method": theirs}, share=share, by=by
    )
    sign = -1 if worse else 1
    close(list(found.values()), [sign * (mean(means, method=ours) - share * mean(means, method=theirs)) - by])


@quick
@given(means=means)
def test_each_value_of_better_than_and_at_each_is_a_contrast_of_its_own(means):
    close(
        values(means, better={"method": "dreamer"}, than="others", at_each="horizon"),
        {
            f"horizon {h}, dreamer - {m}": mean(means, method="dreamer", horizon=h) - mean(means, method=m, horizon=h)
            for h in HORIZONS
            for m in ("no_value", "planet")
        },
    )
    here = {"at_each": ["task", "method"], "where": {"task": TASKS[0]}}
    close(
        values(means, better={"horizon": [3, 5]}, than={"horizon": "20"}, **here),
        {
            f"{TASKS[0]} {m}, horizon {h} - horizon 20": mean(means, task=TASKS[0], method=m, horizon=h)
            - mean(means, task=TASKS[0], method=m, horizon="20")
            for m in METHODS
            for h in ("3", "5")
        },
    )


@quick
@given(means=means, two=two, share=st.sampled_from([1.0, 0.5]))
def test_an_interaction_is_the_gain_here_less_the_gain_there(means, two, share):
    ours, theirs = two
    asked = dict(better={"method": ours}, than={"method": theirs}, share=share, more_at={"horizon": [3, 5]})
    found = values(means, **asked, than_at={"horizon": 20})
    short, long = (
        [mean(means, method=m, horizon=h) * s for m, s in ((ours, 1), (theirs, share)) for h in hs]
        for hs in (("3", "5"), ("20",))
    )
    gains = (short[0] + short[1] - short[2] - short[3]) / 2, long[0] - long[1]
    close(list(found.values()), [gains[0] - gains[1]])


@quick
@given(
    means=means,
    two=two,
    times=st.lists(st.floats(-3, 3).filter(lambda x: not 0 < abs(x) < 1e-3), min_size=2, max_size=2),
    by=st.integers(-50, 50),
)
def test_a_sum_weighs_groups(means, two, times, by):
    terms = [{"times": t, "of": {"method": m}} for t, m in zip(times, two, strict=True)]
    expected = {t: sum(x * mean(means, method=m, task=t) for x, m in zip(times, two, strict=True)) - by for t in TASKS}
    close(values(means, sum=terms, by=by, at_each="task"), expected)


@quick
@given(means=means, level=st.integers(1, 900), within=st.integers(1, 90), method=methods)
def test_near_is_above_one_end_and_below_the_other(means, level, within, method):
    found = values(means, near={"of": {"method": method}, "is": level}, within=within)
    own = mean(means, method=method)
    close(list(found.values()), [own - (level - within), level + within - own])
    found = values(
        means,
        near={"of": {"method": "dreamer"}, "is": level, "over": {"method": ["planet", "no_value"]}},
        within=within,
    )
    gain = mean(means, method="dreamer") - (mean(means, method="planet") + mean(means, method="no_value")) / 2
    close(list(found.values()), [gain - (level - within), level + within - gain])


@quick
@given(means=means, two=two, share=st.sampled_from(["80%", 1.5]))
def test_ratios_are_of_the_means_over_all_cells(means, two, share):
    ours, theirs = two
    found = values(means, better={"method": ours}, than={"method": theirs}, share=share, scale="ratio")
    factor = {"80%": 0.8, 1.5: 1.5}[share]
    close(list(found.values()), [math.log(mean(means, method=ours) / (factor * mean(means, method=theirs)))])
    found = values(
        means, near={"of": {"method": ours}, "is": 2, "over": {"method": theirs}}, within="120%", scale="ratio"
    )
    times = mean(means, method=ours) / mean(means, method=theirs)
    close(list(found.values()), [math.log(times / (2 / 1.2)), math.log(2 * 1.2 / times)])


@quick
@given(means=means, method=methods, number=st.integers(1, 900), share=st.sampled_from([1, 0.5]))
def test_a_group_against_a_number(means, method, number, share):
    close(
        list(values(means, better={"method": method}, than=number, share=share).values()),
        [mean(means, method=method) - share * number],
    )
    found = values(means, worse={"method": method}, than=number, share=share, scale="ratio")
    close(list(found.values()), [math.log(share * number / mean(means, method=method))])


@quick
@given(means=means, level=st.integers(1, 900))
def test_at_least_asks_for_a_level_as_well(means, level):
    found = values(means, better={"method": "planet"}, than={"method": "dreamer"}, share="80%", at_least=level)
    ours = mean(means, method="planet")
    close(sorted(found.values()), sorted([ours - level, ours - 0.8 * mean(means, method="dreamer")]))


def test_cells_without_a_counterpart_are_in_no_ratio():
    """PlaNet has no run at horizon 3 on one task, so that Dreamer's there says nothing about the two."""
    cells = [cell for cell in GRID if cell.key != "hopper_hop, method=planet, horizon=3"]
    (one,) = contrasts(asked(better={"method": "dreamer"}, than={"method": "planet"}, scale="ratio"), cells)
    (stratum,) = one.strata
    assert [len(term.cells) for term in stratum.terms] == [5, 5]
    assert not any("hopper_hop" in key and "horizon=3" in key for term in stratum.terms for key in term.cells)


def test_a_count_keeps_its_groups():
    part = asked(better={"method": "dreamer"}, than={"method": "planet"}, at_each="task", count="1 to 2 of 2")
    assert (part.count, part.of) == ((1, 2), 2)
    assert [one.group for one in contrasts(part, GRID)] == list(TASKS)


@pytest.mark.parametrize("value", ["3", 3, 3.0, "3.0", "3e0", ["3", 3, "3.0"], "3,3.0"])
def test_a_value_written_in_any_way_is_one_value(value):
    found = contrasts(asked(better={"horizon": value}, than={"horizon": "2e1"}), GRID)
    assert [one.name for one in found] == ["horizon 3 - horizon 20"]


LABELS = {
    "planet - 80 % of dreamer, by 5": {"share": "80%", "by": 5},
    "planet / dreamer": {"scale": "ratio"},
    "planet - dreamer, more at horizon 3/5 than at horizon 20": {
        "more_at": {"horizon": [3, 5]},
        "than_at": {"horizon": 20},
    },
}


@pytest.mark.parametrize("label", LABELS)
def test_a_contrast_says_what_its_number_is(label):
    part = asked(better={"method": "planet"}, than={"method": "dreamer"}, **LABELS[label])
    assert [one.label for one in contrasts(part, GRID)] == [label]


WRONG = {
    "no sentence": ({"asks": ""}, "asks is the question"),
    "a list as a sentence": ({"asks": ["a"]}, "asks is a text"),
    "an escape in a sentence": ({"asks": "\x1b[2J"}, "asks is a text"),
    "an unknown key": ({"bettr": 1}, "unknown key 'bettr', did you mean 'better'"),
    "two ways": ({"near": {"of": {"method": "planet"}, "is": 3}}, "one of better, worse, near and sum"),
    "nothing to compare with": ({"than": None}, "than"),
    "an unknown field": ({"than": {"metod": "planet"}}, "unknown field 'metod', did you mean 'method'"),
    "a field that does not vary": ({"than": {"discount": "0.9"}}, "'discount' does not vary"),
    "a value that is in no cell": ({"than": {"method": ["planet", "nothing"]}}, "no cell has method='nothing'"),
    "a value of better in no cell": ({"better": {"horizon": [3, 99]}, "than": {"horizon": 20}}, "has horizon='99'"),
    "an interaction at no cell": ({"more_at": {"horizon": 99}, "than_at": {"horizon": 3}}, "no cell has horizon='99'"),
    "an interaction of no axis": ({"more_at": {"discount": 1}, "than_at": {"discount": 0}}, "does not vary"),
    "an interaction with a number": ({"than": 5, "more_at": {"horizon": 3}, "than_at": {"horizon": 5}}, "be a group"),
    "half an interaction": ({"more_at": {"horizon": 3}}, "go together"),
    "within beside better": ({"within": 3}, "within has no meaning beside better"),
    "a margin of nothing": ({"margin": 0}, "margin is a number above 0"),
    "a margin in percent of points": ({"margin": "5%"}, "for scale: ratio"),
    "an infinite share": ({"share": "1e400"}, "share is a number"),
    "a share in percent without its sign": ({"share": 80}, "in percent, write 80%"),
    "a floor of another task": ({"floor": {"walker": 5}}, "no cell has task='walker'"),
    "an outcome misspelt": ({"outcome": "curv"}, "outcome is one of final, .*, not 'curv', did you mean 'curve'"),
    "a huge share": ({"share": "1e300"}, "share is a number"),
    "a ratio to nothing": ({"than": 0, "scale": "ratio"}, "than is a number above 0"),
    "a ratio to what is published": ({"than": {"published": "dreamer"}, "scale": "ratio"}, "in points"),
    "a published list": ({"than": {"published": ["dreamer"]}}, "takes one of dreamer"),
    "a count without groups": ({"count": "1 of 2"}, "add at_each"),
    "a count of nothing": ({"count": "0 of 0", "at_each": "task"}, "from small to large"),
    "a nested value": ({"where": {"task": {"a": "b"}}}, "a value or a list of values"),
    "a nested list": ({"where": {"task": [["walker_walk"]]}}, "a value or a list of values"),
    "at each of a mapping": ({"at_each": {"task": "x"}}, "at_each is a field"),
    "at each of no axis": ({"at_each": "discount"}, "does not vary"),
    "itself": ({"than": {"method": "dreamer"}}, "both of what it compares"),
    "a bomb": ({"where": {"task": ["x"] * 20_000}}, "too many values"),
    "no part": ({"all": []}, "beside all|all is a list"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_asked_is_said_in_a_line(what):
    changed, message = WRONG[what]
    content = {"asks": "?", "better": {"method": "dreamer"}, "than": {"method": "planet"}} | changed
    with pytest.raises(BadInput, match=message) as error:
        for part in parse("q", content).parts:
            contrasts(part, GRID, "q")
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 500


def test_a_sum_and_a_near_need_their_parts():
    for wrong in (
        {"sum": []},
        {"sum": [3]},
        {"sum": [{"times": 1}]},
        {"near": 3},
        {"near": {"of": 3, "is": 3}, "within": 1},
    ):
        with pytest.raises(BadInput):
            asked(**wrong)
    with pytest.raises(BadInput, match="within is a number above 1"):
        asked(near={"of": {"method": "dreamer"}, "is": 2}, within=0.5, scale="ratio")


def test_too_many_comparisons_are_refused():
    cells = [Cell(str(n), {"task": "walker_walk", "horizon": str(n)}) for n in range(40)]
    with pytest.raises(BadInput, match="more than 1,000 comparisons"):
        contrasts(asked(better={"horizon": [str(n) for n in range(40)]}, than="others"), cells, "q")


WHOLE = {
    "asks": "Is it so?",
    "place": "Section 5",
    "note": "a note",
    "all": [
        {
            "better": {"method": ["dreamer"]},
            "than": {"method": "planet"},
            "share": 0.8,
            "by": 10,
            "at_least": 100,
            "at_each": "task",
            "where": {"task": ["walker_walk"]},
            "more_at": {"horizon": [3, 5]},
            "than_at": {"horizon": 20},
            "outcome": "curve",
            "margin": 50,
            "floor": {"walker_walk": 30},
            "count": "1 of 1",
        },
        {"worse": {"method": "dreamer"}, "than": {"published": "dreamer"}},
        {"better": {"method": "dreamer"}, "than": 500, "scale": "ratio", "margin": "10%"},
        {"near": {"of": {"method": "dreamer"}, "is": 2, "over": {"method": "planet"}}, "within": 1.5, "scale": "ratio"},
        {"sum": [{"times": 2, "of": {"horizon": 3}}, {"times": -1, "of": {"horizon": 20}}], "by": "3"},
        {"better": {"horizon": 20}, "than": "others", "where": {"method": "dreamer"}},
    ],
}
garbage = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=10),
        st.sampled_from(["", "nan", "-1", "0", "1e999", "5%", "others", "\n", "\x1b[2J", "9" * 5000, "dreamer", "3"]),
        st.sampled_from(["task", "method", "horizon", "walker_walk", "1 of 1", "0 of 0", "published", "ratio"]),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.one_of(st.text(max_size=5), st.sampled_from(["task", "of", "is"])), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(content, path=()):
    """Where in nested lists and mappings there is anything."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def put(content, path, value):
    if not path:
        return value
    copy = list(content) if isinstance(content, list) else dict(content)
    copy[path[0]] = put(copy[path[0]], path[1:], value)
    return copy


def test_the_whole_form_can_be_asked():
    for part in parse("q", WHOLE).parts:
        assert contrasts(part, GRID, "q")


@settings(parent=quick, max_examples=10 * MANY)
@given(path=st.sampled_from(places(WHOLE)), value=garbage, rename=st.booleans())
def test_garbage_anywhere_in_a_question_is_one_line(path, value, rename):
    content = put(WHOLE, path, value)
    try:
        for part in parse("q", content).parts:
            for one in contrasts(part, GRID, "q"):
                assert one.strata and all(math.isfinite(s.constant) and s.terms for s in one.strata)
                assert all(term.cells and math.isfinite(term.weight) for s in one.strata for term in s.terms)
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < 600, str(error)


@pytest.mark.parametrize("value", ["[[]]", "{a: {b: c}}", "5", "", "[x, {y: z}]", "!!python/name:os.system ''"])
@pytest.mark.parametrize("path", [path for path in places({"q": WHOLE}) if len(path) in (0, 1, 2, 5)])
def test_garbage_in_a_file_is_one_line(tmp_path, path, value):
    file = tmp_path / "mine.yaml"
    plan = {"tasks": TASKS, "methods": METHODS, "grid": {"horizon": HORIZONS}, "preset": "smoke"}
    text = yaml.safe_dump({**{k: [*v] if isinstance(v, tuple) else v for k, v in plan.items() if k != "grid"}})
    text += "grid: {horizon: [3, 5, 20]}\n"
    text += yaml.safe_dump({"questions": put({"q": WHOLE}, path, "PLACE")}).replace("PLACE", value)
    file.write_text(text)
    try:
        sweeps.read(file)
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < 700, str(error)


def test_a_file_with_one_seed_asks_nothing(tmp_path):
    file = tmp_path / "mine.yaml"
    asks = {"q": {"asks": "?", "better": {"method": "dreamer"}, "than": {"method": "planet"}}}
    plan = {"tasks": ["walker_walk"], "methods": ["dreamer", "planet"], "questions": asks}
    file.write_text(yaml.safe_dump(plan | {"seeds": 2}))
    assert len(sweeps.read(file).questions) == 1
    file.write_text(yaml.safe_dump(plan | {"seeds": 1}))
    with pytest.raises(BadInput, match="two seeds or more"):
        sweeps.read(file)


def test_aliases_and_deep_nesting_in_a_file_are_one_line(tmp_path):
    bomb = "x: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"y{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in itertools.pairwise("abcdefghi")
    )
    for name, where in (("bomb", bomb), ("itself", "where: &a [*a]"), ("deep", "where: " + "[" * 200 + "]" * 200)):
        file = tmp_path / f"{name}.yaml"
        inside = "\n".join(f"    {line}" for line in where.splitlines())
        file.write_text(f"tasks: walker_walk\nquestions:\n  q:\n    asks: Why?\n{inside}\n")
        done = typed("sweep", file, "--dry-run", home=tmp_path / "home")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and len(done.stderr) < 700, done.stderr[:900]


def test_every_key_is_in_the_whole_form():
    used = {key for part in WHOLE["all"] for key in part} | set(WHOLE)
    assert used == set(questions._KEYS)
