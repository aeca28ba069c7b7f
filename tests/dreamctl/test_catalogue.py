"""The paper's claims as questions of the built-in sweeps: which sweep asks which, and of which cells."""

import pytest

from dreamctl.errors import BadInput
from dreamctl.jobs import questions, sweeps
from dreamctl.jobs.claims import catalogue, cells_of
from dreamctl.jobs.sweeps import Plan, Request
from dreamctl.results import published

OF_PERFORMANCE = {1, 2, 3, 4, 5, 6, 17, 19}


def asked(name, **options):
    plan = sweeps.build(name, Request(looks="3,5,8", **options))
    return {int(question.name.removeprefix("claim-")) for question in plan.questions}, plan


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("horizon", {9, 10}),
        ("performance", OF_PERFORMANCE),
        ("behavior", OF_PERFORMANCE | {8, 11, 12}),
        ("representation", {13, 14, 15}),
        ("action-repeat", {16}),
        ("all", set(range(1, 20)) - {7, 18}),
    ],
)
def test_a_built_in_sweep_with_looks_asks_the_papers_own_questions(name, numbers):
    found, plan = asked(name)
    assert found == numbers and plan.unasked == ()
    assert plan.looks == (3, 5, 8) and plan.seeds == tuple(range(8))
    assert Plan.from_dict(plan.name, plan.to_dict()) == plan
    assert sweeps.build(name, Request()).questions == ()


def test_of_all_runs_each_claim_is_about_those_of_its_sweep():
    """Claim 8 is not about the horizons of Figure 4, though these vary in the whole; nor claim 1 about objectives."""
    _, plan = asked("all")
    points = plan.points()
    cells = [cell for cell, _ in points.values()]
    whole = {key: spec.digest for key, (_, spec) in points.items()}
    for question in plan.questions:
        claim = next(claim for claim in catalogue() if claim.question.name == question.name)
        own = Plan(claim.sweep, (sweeps.BUILT_IN[claim.sweep][1],)).points()
        wanted = {own[cell.key][1].digest for cell in cells_of(claim.question, [cell for cell, _ in own.values()])}
        assert {whole[cell.key] for cell in cells_of(question, cells)} == wanted, question.name


def test_a_part_of_a_sweep_asks_what_its_cells_can_answer():
    tasks = ("acrobot_swingup", "hopper_hop", "hopper_stand", "walker_walk")
    found, plan = asked("behavior", tasks=tasks)
    assert found == {11} and plan.unasked == ("claim-8", "claim-12")
    found, plan = asked("performance", methods=("dreamer",))
    assert found == {1, 3, 4, 17} and plan.unasked == ("claim-2", "claim-5", "claim-6", "claim-19")
    found, _ = asked("horizon", preset="tiny", settings=("model_lr=0.001",))
    assert found == {9, 10}
    with pytest.raises(BadInput, match=r"no claim of the paper \(claim-9, claim-10 need others\): leave out --looks"):
        asked("horizon", tasks=("walker_walk",))
    with pytest.raises(BadInput, match="--looks or --seeds, not both"):
        asked("horizon", seeds="3")


def test_what_is_written_is_a_question_as_users_write_theirs():
    for claim in catalogue():
        if not claim.protocol:
            assert questions.parse(claim.question.name, claim.question.content) == claim.question


def test_the_papers_numbers_are_those_that_it_prints():
    wanted = {number: published.average(method, published.SUBMISSION).mean for number, method in
              ((1, "dreamer"), (2, "planet"), (3, "d4pg"))}  # fmt: skip
    by_number = {claim.number: claim.question.content for claim in catalogue()}
    assert float(by_number[1]["near"]["is"]) == wanted[1]
    assert float(by_number[2]["near"]["is"]) == wanted[2]
    assert float(by_number[3]["than"]) == wanted[3]
    assert set(questions.PUBLISHED) == set(published._FINAL)


def test_claims_of_tasks_name_those_of_the_paper():
    by_number = {claim.number: claim.question for claim in catalogue()}
    tasks = {len(sweep.tasks) for _, sweep in sweeps.BUILT_IN.values() if len(sweep.tasks) > 4}
    counts = {part.of for number in (8, 13, 14, 15, 16) for part in by_number[number].parts}
    assert counts == tasks == {20}
