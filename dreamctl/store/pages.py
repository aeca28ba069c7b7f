"""Tags and descriptions (Markdown) of experiments, runs and sweeps in MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from agent.config import PRESETS, make
from dreamctl.store import code
from dreamctl.store.models import Look, Registration, Run, Sweep
from dreamctl.wording import asked, counted, estimated

DESCRIPTION = "mlflow.note.content"
SWEEPS = "sweeps"  # the experiment that sweeps are runs of
LISTED = 30  # runs in the description of a sweep: a tag holds 8,000 characters
VIEW = "?workflowType=machine_learning"  # or the UI shows what it has for language models


def of_experiment(name: str) -> dict[str, str]:
    """Tags of an experiment: that of a task, or of all sweeps."""
    about = "Sweeps: each is the parent of its runs." if name == SWEEPS else f"Runs of the task `{name}`."
    return {
        DESCRIPTION: f"{about} Steps are environment steps; `eval/return` is the score.",
        "mlflow.experimentKind": "custom_model_development",  # or the UI takes it for one of language models
        "mlflow.experiment.primaryMetric.name": "eval/return",
    }


def of_run(run: Run) -> dict[str, str]:
    """Tags of a run at its creation in MLflow."""
    tags = {
        "mlflow.runName": run.name,
        "mlflow.user": os.environ.get("USER", "dreamctl"),
        "mlflow.source.name": "dreamctl",
        "mlflow.source.type": "LOCAL",
        "task": run.task,
        "method": run.method,
        "objective": run.objective,
        "seed": run.seed,
        "preset": run.preset,
        "dreamctl.run": run.id,
        "dreamctl.digest": run.digest,
        "fork_of": run.parent and f"{run.parent['name']} ({run.parent['id']}) at {run.parent['env_steps']} env steps",
    } | {f"tag.{tag}": "true" for tag in run.tags}
    return {key: str(value) for key, value in tags.items() if value is not None}


def of_training(run: Run) -> dict[str, str]:
    """Tags of what trains a run: they change with its attempts."""
    tags = {
        "mlflow.source.git.commit": run.git_commit,
        "mlflow.source.git.branch": run.git_branch,
        "git_dirty": run.git_dirty,
        "code": code.of(run),
        "hardware": run.hardware,
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def description(run: Run) -> str:
    """A run's status and score, its differences from the preset, and what to type next."""
    score = "no evaluation" if run.score is None else f"score **{run.score:.1f}** (best {run.best_score:.1f})"
    changed = ", ".join(f"`{key}={value}`" for key, value in from_preset(run).items() if key != "steps")
    lines = [
        f"{run.standing.capitalize()}: {score} after {run.env_steps:,} of {run.steps:,} environment steps, "
        f"{run.work_seconds / 3600:.2f} hours at work.",
        *([f"Reason:\n\n    {run.reason}"] if run.reason else []),
        f"Preset `{run.preset}`" + (f" with {changed}." if changed else ", unchanged."),
        f"    dreamctl show {run.id}\n    dreamctl eval {run.id} --episodes 10 --video",
    ]
    return "\n\n".join(lines)


def place(experiment: str, run: str) -> str:
    """The relative link to a run's page in the UI."""
    return f"#/experiments/{experiment}/runs/{run}{VIEW}"


def description_of_sweep(
    sweep: Sweep,
    counts: Mapping[str, int],
    runs: Mapping[str, Run],
    looks: Sequence[Look] = (),
    registrations: Sequence[Registration] = (),
) -> str:
    """What its newest look answered, how many runs of a sweep have each status, and links to some of them."""
    states = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    rows = [f"| [{run.name}]({there}) | {run.standing} | {_score(run)} |" for there, run in runs.items()]
    table = ["| run | status | score |", "|---|---|---|", *rows]
    total = sum(counts.values())
    answers = _answers(looks[-1], registrations) if looks else []
    lines = [f"{counted(total, 'run')}: {states}.", *answers, *(["\n".join(table)] if rows else [])]
    if total > len(runs):
        lines.append(f"These are the first; all of them: `dreamctl status {sweep.name}`")
    return "\n\n".join(lines)


def _answers(look: Look, registrations: Sequence[Registration]) -> list[str]:
    """The answers of a look as a table."""
    versions = {registration.version: registration for registration in registrations}
    rows = []
    for answer in look.answers:
        registration = versions.get(answer.get("version", look.version))
        content = registration.content.get("questions", {}).get(answer["question"], {}) if registration else {}
        when = asked(registration.version, registration.runs) if registration else ""
        if registration and registration.version < max(versions):
            when += f"; version {registration.version} of {max(versions)}"  # of which this page has no answer yet
        cells = (content.get("asks", answer["question"]), f"**{answer['answer']}**", estimated(answer), when)
        rows.append(f"| {' | '.join(' '.join(str(cell).split()).replace('|', '/') for cell in cells)} |")
    return ["\n".join(["| question | answer | number | asked |", "|---|---|---|---|", *rows])]


def _score(run: Run) -> str:
    return "-" if run.score is None else f"{run.score:.1f}"


def from_preset(run: Run) -> dict[str, Any]:
    """The config fields that differ from the run's preset, except those that its method sets."""
    usual = make(run.preset, {"method": run.method}).to_dict() if run.preset in PRESETS else {}
    method = {} if run.method == "dreamer" else {"method": run.method}
    return method | {key: value for key, value in run.config.items() if usual.get(key) != value}
