"""dreamctl sweep: an experiment as a queue of runs."""

import sys
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Interrupts, Json, console, home_option, listed, print_json, say
from dreamctl.wording import counted

if TYPE_CHECKING:
    from dreamctl.jobs.cluster import Cluster
    from dreamctl.jobs.news import Answers, Failures
    from dreamctl.jobs.scheduler import Proceed, Scheduler
    from dreamctl.jobs.spec import RunSpec
    from dreamctl.jobs.sweeps import Plan
    from dreamctl.results.planning import Forecast
    from dreamctl.store import Run, Store
    from dreamctl.store.models import Sweep as Record

_POLL = 1.0  # seconds


def sweep(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP",
            help="horizon, performance, behavior, representation, action-repeat, all, a .yaml file or a stored sweep.",
            autocompletion=completion.plans,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks, comma-separated [default: the sweep's].", autocompletion=completion.several(completion.tasks)
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Methods, comma-separated [default: the sweep's].",
            autocompletion=completion.several(completion.methods),
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="A number of seeds (3) or a list (0,1,4) [default: 3].")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="paper, official, tiny or smoke [default: the sweep's].", autocompletion=completion.presets),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a config field of every run.", autocompletion=completion.settings
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B,C",
            help="Values of a config field; repeat to combine several fields.",
            autocompletion=completion.settings,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N runs.")] = None,
    looks: Annotated[
        str | None,
        typer.Option(metavar="N,N,N", help="Judge the sweep's questions after so many seeds: 4,8,12 [default: all]."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run and what it would cost.")] = False,
    per_gpu: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs at once on each GPU [default: 1].")
    ] = None,
    cpu_slots: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Runs at once on the CPU [default: 1 without a GPU].")
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, metavar="N", help="Workers that a run may lose before it fails.")
    ] = 3,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry failed runs, too.")] = False,
    same_code: Annotated[
        bool, typer.Option("--same-code", help="Train stored runs of other code anew, beside them.")
    ] = False,
    executor: Annotated[str | None, typer.Option(help="Where jobs run: local, slurm or ray [default: local].")] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of sbatch (time=4:00:00) or of a Ray task, for each job."),
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Train in this process, run by run, for a debugger.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Continue in the background.")] = False,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help="Run COMMAND MESSAGE when a run fails, a question is answered, the sweep has ended."
        ),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Run a sweep or continue it; only missing runs are trained. Ctrl-C writes checkpoints and stops."""
    from dreamctl import settings
    from dreamctl.cli import board
    from dreamctl.errors import BadInput, RunFailed
    from dreamctl.jobs import cluster, engines, launch, news, preflight, scheduler, sweeps
    from dreamctl.jobs.slots import slots
    from dreamctl.store import open_store

    choices = (listed(tasks), listed(methods), seeds, preset, tuple(set_ or ()), tuple(grid or ()), limit, looks)
    known = open_store(home, create=False)
    plan = sweeps.build(name, sweeps.Request(*choices), lambda stored: known.find_sweep(stored).spec)
    cells = plan.cells()
    if plan.unasked:
        say(f"not asked, as these cells cannot answer it: {', '.join(plan.unasked)}")
    if dry_run:
        _dry_run(known, plan, cells, same_code, json)
        return
    news.check(notify)
    executor = settings.get("executor", executor)
    if inline and executor != "local":
        raise BadInput("--inline trains in this process: leave out --executor")
    if executor != "local":
        given = engines.check(executor, resource or [])
    else:
        if resource:
            raise BadInput("--resource is for --executor slurm or ray; local jobs have --per-gpu and --cpu-slots")
        preflight.check("auto", [cell.task for cell in cells])
        room = slots(settings.get("per_gpu", per_gpu), settings.get("cpu_slots", cpu_slots))
        if not room:
            raise BadInput("no slot to train in: give --cpu-slots 1 or more")
    store = open_store(home)
    if other := launch.other_code(store, cells, same_code):
        say(other)
    record = scheduler.enroll(store, plan.name, cells, plan.to_dict(), max_attempts, retry_failed, same_code)
    if detach:
        log = launch.spawn_again(store, [argument for argument in sys.argv[1:] if argument != "--detach"], plan.name)
        say(f"sweep {plan.name} continues in the background (log: {log})")
        where = home_option(home)
        say(f"watch it: dreamctl status {plan.name} --watch{where}; stop it: dreamctl stop {plan.name}{where}")
        if json:
            print_json(board.overview(store, record))
        return
    say(f"sweep {plan.name}: {counted(sum(store.counts(record.id).values()), 'run')}")
    failures = news.Failures(store, record)
    answers = news.Answers(store, record) if plan.questions else None
    if answers and (begun := answers.next()):
        say(begun)
    proceed = _proceed(store, record, answers, notify) if answers else None
    if inline:
        launch.spawn_mirror(store)
        scheduler.inline(store, record, proceed)
    elif executor != "local":
        engine = engines.open_engine(executor, store, record, given)
        _watch(cluster.Cluster(store, record, engine, proceed), failures, notify)
    else:
        _watch(scheduler.Scheduler(store, record, room, proceed), failures, notify)
    state, again = board.overview(store, record), " --same-code" if same_code else ""
    if json:
        print_json(state)
    else:
        typer.echo(board.line(state))
        for asked in state["questions"]:
            typer.echo(board.question(asked))
    if any(state["counts"][status] for status in ("queued", "stopped", "running")):
        say(f"continue with: dreamctl sweep {record.name}{again}{home_option(home)}")
    news.tell(notify, f"sweep {board.line(state)}")
    failed = state["counts"]["failed"]
    if failed:
        retry = f"dreamctl sweep {plan.name} --retry-failed{again}{home_option(home)}"
        waits = ", and its questions wait for them" if any(asked["waits_for"] for asked in state["questions"]) else ""
        raise RunFailed(
            f"{counted(failed, 'run')} of sweep {plan.name} failed{waits}: dreamctl status {plan.name}, then {retry}"
        )


def _proceed(store: "Store", record: "Record", answers: "Answers", notify: str | None) -> "Proceed":
    """What a sweep with questions does when its runs have ended: judge, say what is answered, begin the next look."""
    from dreamctl.jobs import looks, news

    def judge(*arguments: Any) -> list[dict[str, Any]]:
        from dreamctl.results.answers import judge  # it loads NumPy

        return judge(*arguments)

    def proceed() -> bool:
        goes_on = looks.proceed(store, record, judge)
        for line in answers.new():
            say(line)
            news.tell(notify, f"sweep {record.name}: {line}")
        if goes_on and (begun := answers.next()):
            say(begun)
        return goes_on

    return proceed


def _dry_run(store: "Store", plan: "Plan", cells: "list[RunSpec]", same_code: bool, json: bool) -> None:
    from collections import Counter

    from dreamctl.jobs.estimate import estimate
    from dreamctl.jobs.launch import existing, other_code
    from dreamctl.jobs.looks import underway

    progress = underway(store, plan)
    if progress is not None:
        cells = progress.cells()
    runs = [existing(store, cell, same_code) for cell in cells]
    expected = _expected(store, plan) if plan.questions else []
    if json:
        listed = [_cell(cell, run) for cell, run in zip(cells, runs, strict=True)]
        print_json({"runs": listed, "questions": [one.to_dict() for one in expected]} if plan.questions else listed)
        return
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False)
    configs = [cell.config for cell in cells]
    varied = [key for key in configs[0].to_dict() if len({getattr(config, key) for config in configs}) > 1]
    if len({(config.method, config.returns) for config in configs}) == len({config.method for config in configs}):
        varied = [key for key in varied if key != "returns"]  # the method says it
    for heading in ("TASK", *(key.upper() for key in varied), "SEEDS", "STORED"):
        table.add_column(heading)
    groups: dict[tuple[Any, ...], list[tuple[RunSpec, Any]]] = {}
    for cell, run in zip(cells, runs, strict=True):
        groups.setdefault((cell.task, *(getattr(cell.config, key) for key in varied)), []).append((cell, run))
    for key, members in groups.items():
        own = [cell.seed for cell, _ in members]
        several = len(own) > 4 and own == list(range(own[0], own[-1] + 1))
        seeds = f"{own[0]} to {own[-1]}" if several else ",".join(map(str, own))
        stored = Counter(run.standing for _, run in members if run)
        table.add_row(*map(str, key), seeds, ", ".join(f"{n} {status}" for status, n in stored.items()) or "-")
    out.print(table)
    stored = Counter(run.standing if run else "missing" for run in runs)
    out.print(f"\nsweep {plan.name}: {len(cells)} runs: " + ", ".join(f"{n} {status}" for status, n in stored.items()))
    if other := other_code(store, cells, same_code):
        out.print(other)
    todo = [
        cell
        for cell, run in zip(cells, runs, strict=True)
        if run is None or run.standing not in ("finished", "diverged")
    ]
    cost = estimate(store, todo)
    hours = "time unknown" if cost.device_hours is None else f"{cost.device_hours:.1f} hours on one slot"
    disk = "unknown" if cost.disk is None else f"{cost.disk / 2**30:.1f} GiB"
    out.print(
        f"to do: {len(todo)} runs, {hours}, disk {disk}, replay memory up to {cost.memory / 2**30:.1f} GiB per run"
    )
    out.print(f"measured on: {cost.source}" if todo else "nothing to do")
    if plan.looks:
        most = len(plan.points()) * plan.looks[-1]
        looks = ", ".join(map(str, plan.looks))
        number = 0 if progress is None else progress.number
        what = "all looks are judged"
        if number is not None:
            what = f"that is look {number + 1} of {len(plan.looks)}, at {plan.looks[number]} seeds"
        out.print(f"{what}; with all looks ({looks}) it is {most:,} runs at most")
    if progress and (
        changed := [question.name for question in plan.questions if question.name not in progress.answers]
    ):
        out.print(f"new or changed since the last look, as their answers will say: {', '.join(changed)}")
    if plan.questions:
        _print_expected(expected)


def _expected(store: "Store", plan: "Plan") -> "list[Forecast]":
    """What each question is expected to take, its hours from the rates of stored runs."""
    from dreamctl.jobs.estimate import estimate
    from dreamctl.results import planning

    return planning.forecast(store, plan, lambda cells: estimate(store, cells).device_hours)


def _print_expected(found: "list[Forecast]") -> None:
    """Print what each question takes if the truth is no difference, its margin, or twice that."""
    from rich.table import Table

    out = console()
    out.print("\nwhat the questions are expected to take, and at most, for a true difference:")
    table = Table(box=None, pad_edge=False)
    for heading in ("QUESTION", "DIFFERENCE", "ANSWERED", "SEEDS", "RUNS", "HOURS"):
        table.add_column(heading, justify="left" if heading == "QUESTION" else "right", overflow="fold")
    for one in found:
        for index, row in enumerate(one.expected):
            hours = "-" if row.hours is None else f"{row.hours:.3g} of {one.most_hours:.3g}"
            table.add_row(
                "" if index else one.question,
                f"{row.difference:g}",
                f"{100 * row.answered:.0f} %",
                f"{row.seeds:.1f} of {one.most_seeds}",
                f"{row.runs:.0f} of {one.most_runs:,}",
                hours,
            )
        if one.unplanned:
            hours = "-" if one.most_hours is None else f"{one.most_hours:.3g}"
            table.add_row(one.question, "-", "-", f"{one.most_seeds}", f"{one.most_runs:,}", hours)
    out.print(table)
    for one in found:
        if one.unplanned:
            out.print(f"{one.question}: not planned, {one.unplanned}")
        else:
            margin = f"; it has no margin, so {one.margin:g} points stand for one" if one.assumed else ""
            out.print(f"{one.question}: {one.spread}{margin}")


def _cell(cell: "RunSpec", run: Any) -> dict[str, Any]:
    from dreamctl.store import code

    config = cell.config
    return {
        "task": cell.task,
        "method": config.method,
        "objective": config.objective,
        "seed": cell.seed,
        "horizon": config.horizon,
        "action_repeat": config.action_repeat,
        "preset": cell.preset,
        "config": config.to_dict(),
        "digest": cell.digest,
        "run": run.id if run else None,
        "status": run.status if run else None,
        "code": code.of(run) if run else None,
    }


def _watch(scheduler: "Scheduler | Cluster", failures: "Failures", notify: str | None) -> None:
    """Step a scheduler until it is done, and report runs that fail.

    Ctrl-C stops the workers with checkpoints, a second Ctrl-C kills them.
    """
    import time

    from sqlalchemy.exc import OperationalError

    from dreamctl.jobs import news

    views = _live(scheduler) if console(stderr=True).is_terminal else _lines(scheduler)
    with Interrupts() as interrupts:
        while not scheduler.done:
            said = scheduler.trouble
            scheduler.step()
            if scheduler.trouble not in (None, said):
                typer.echo(f"dreamctl: {scheduler.trouble}", err=True)
            next(views)
            with suppress(OperationalError):  # the scheduler reports it
                for message in failures.new():
                    news.tell(notify, message)
            time.sleep(_POLL)
            for _ in range(interrupts.take()):
                if scheduler.stopping:
                    scheduler.kill()
                else:
                    say("\nstopping with checkpoints; Ctrl-C again kills the workers")
                    scheduler.stop()
    next(views)
    views.close()


def _live(scheduler: "Scheduler | Cluster") -> Generator[None, None, None]:
    from rich.live import Live
    from sqlalchemy.exc import OperationalError

    from dreamctl.cli import board

    with Live(console=console(stderr=True), auto_refresh=False) as live:
        while True:
            with suppress(OperationalError):  # the scheduler reports it
                live.update(board.table(board.overview(scheduler.store, scheduler.sweep)), refresh=True)
            yield


def _lines(scheduler: "Scheduler | Cluster") -> Generator[None, None, None]:
    """Without a terminal: print a line for each run that starts or ends."""
    from sqlalchemy.exc import OperationalError

    seen: dict[str, str] = {}
    store = scheduler.store
    while True:
        changed: list[Run] = []
        with suppress(OperationalError):  # the scheduler reports it
            states = {run_id: f"{status} {attempt}" for run_id, status, attempt in store.states(scheduler.sweep.id)}
            changed = store.these([key for key, state in states.items() if seen.get(key, "queued 0") != state], True)
        for run in changed:
            where = f" in job {run.job}" if run.job and run.status == "running" else ""
            score = f", score {run.score:.1f}" if run.score is not None else ""
            status = "queued again" if run.status == "queued" else run.standing
            say(f"{run.name}: {status}{where}" + (f": {run.reason}" if run.reason else score))
            seen[run.id] = f"{run.status} {run.attempt}"
        yield
