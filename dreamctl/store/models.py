"""Tables of the run database. Rows leave the store detached: read them as plain records.

Times are UTC seconds since the epoch; steps are environment steps. The schema's history is in `migrations`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, Text, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dreamctl.store.columns import (
    Answers,
    Asked,
    Choice,
    Line,
    Lines,
    Number,
    Numbers,
    Parent,
    Settings,
    Table,
    Texts,
    Whole,
)

HEAD = "0010"  # the newest migration; a test holds it to the migrations themselves

STATUSES = ("queued", "running", "finished", "failed", "stopped")


class Base(DeclarativeBase):
    """Python types and their columns."""

    type_annotation_map = {int: Whole, float: Number, dict[str, Any]: Table, list[str]: Texts, list[float]: Numbers}


class Run(Base):
    """One training job: what it is, how it stands, where it ran."""

    __tablename__ = "run"
    __table_args__ = (  # the newest runs, of all, of a status, of a task, are read off an index
        Index("ix_run_created", "created_at", "id"),
        Index("ix_run_status", "status", "created_at", "id"),
        Index("ix_run_task", "task", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(Line(8), primary_key=True)
    name: Mapped[str] = mapped_column(Line(200), unique=True)

    task: Mapped[str] = mapped_column(Line(100))
    method: Mapped[str] = mapped_column(Line(50))
    objective: Mapped[str] = mapped_column(Line(50))
    seed: Mapped[int]
    preset: Mapped[str] = mapped_column(Line(50))
    config: Mapped[dict[str, Any]] = mapped_column(Settings)
    digest: Mapped[str] = mapped_column(Line(64), index=True)  # of task, seed and config: the run's identity
    tags: Mapped[list[str]]
    note: Mapped[str | None] = mapped_column(Lines)
    parent: Mapped[dict[str, Any] | None] = mapped_column(Parent(none_as_null=True))  # of a fork

    status: Mapped[str] = mapped_column(Choice(STATUSES, 10))
    reason: Mapped[str | None] = mapped_column(Lines)  # why it failed, one line
    diverged: Mapped[bool] = mapped_column(
        default=False, server_default=false()
    )  # failed, and by its method: an outcome
    stop_requested: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)  # counts the workers that took this run on
    deaths: Mapped[int] = mapped_column(default=0, server_default="0")  # workers lost since it was last put in a queue
    log_tail: Mapped[str | None] = mapped_column(Lines)  # last lines of the worker that died

    steps: Mapped[int]  # environment steps to train for
    env_steps: Mapped[int] = mapped_column(default=0)  # environment steps done
    updates: Mapped[int] = mapped_column(default=0)
    score: Mapped[float | None]  # mean return of the latest evaluation
    best_score: Mapped[float | None]

    created_at: Mapped[float]
    started_at: Mapped[float | None]  # of the first attempt
    finished_at: Mapped[float | None]
    heartbeat_at: Mapped[float | None]
    work_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")  # the sum over attempts

    device: Mapped[str | None] = mapped_column(Line(50))
    hardware: Mapped[str | None] = mapped_column(
        Line(100)
    )  # the model of the GPU, or of the CPU, as its driver names it
    job: Mapped[str | None] = mapped_column(Line(200))  # of another engine: "slurm:12_0"
    host: Mapped[str | None] = mapped_column(Line(200))
    pid: Mapped[int | None]
    process_started: Mapped[float | None]  # clock ticks after boot
    process_space: Mapped[str | None] = mapped_column(Line(100))  # boot and PID namespace that pid counts in
    scheduler_pid: Mapped[int | None]  # in the same space: the scheduler that claimed it, if one did
    scheduler_started: Mapped[float | None]
    code: Mapped[str | None] = mapped_column(Line(200))  # digests of what trained it, joined by "+"; see `Attempt`
    git_commit: Mapped[str | None] = mapped_column(Line(40))
    git_branch: Mapped[str | None] = mapped_column(Line(200))
    git_dirty: Mapped[bool | None]
    git_diff: Mapped[str | None] = mapped_column(Text)  # never printed
    packages: Mapped[dict[str, Any]]

    @property
    def standing(self) -> str:
        """The status, but "diverged" for a run that its method has ruined: "failed" ones are missing."""
        return "diverged" if self.diverged and self.status == "failed" else self.status


class Attempt(Base):
    """What trained a run in one of its attempts, and from which environment step on."""

    __tablename__ = "attempt"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[float]
    env_steps: Mapped[int]  # that the run had when the attempt began
    code: Mapped[str] = mapped_column(Line(64))  # digest of the sources that train
    device: Mapped[str | None] = mapped_column(Line(50))
    hardware: Mapped[str | None] = mapped_column(Line(100))
    host: Mapped[str | None] = mapped_column(Line(200))
    job: Mapped[str | None] = mapped_column(Line(200))
    git_commit: Mapped[str | None] = mapped_column(Line(40))
    git_branch: Mapped[str | None] = mapped_column(Line(200))
    git_dirty: Mapped[bool | None]
    git_diff: Mapped[str | None] = mapped_column(Text)  # never printed
    packages: Mapped[dict[str, Any]]


class Sweep(Base):
    """A named set of runs that schedulers work through."""

    __tablename__ = "sweep"

    id: Mapped[str] = mapped_column(Line(8), primary_key=True)
    name: Mapped[str] = mapped_column(Line(200), unique=True)
    spec: Mapped[dict[str, Any]]  # its plan, as JSON
    paused: Mapped[bool] = mapped_column(default=False)
    stopped: Mapped[bool] = mapped_column(default=False, server_default=false())  # its schedulers are to end
    max_attempts: Mapped[int]  # workers that a run may lose before it counts as failed
    created_at: Mapped[float]
    mlflow_run: Mapped[str | None] = mapped_column(Line(64))  # its parent run there


class SweepRun(Base):
    """A run's place in a sweep; a run may belong to several."""

    __tablename__ = "sweep_run"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True, index=True)
    position: Mapped[int]


class Registration(Base):
    """A sweep's questions and the rule by which they are judged, as they stood from a time on; none is ever changed.

    A sweep whose questions change gets another version; the first one is made before its first run.
    """

    __tablename__ = "registration"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)  # 1, 2, ...
    content: Mapped[dict[str, Any]] = mapped_column(Asked)  # questions, looks and rule, as JSON
    created_at: Mapped[float]
    runs: Mapped[int]  # of the sweep that had been evaluated by then
    code: Mapped[str | None] = mapped_column(Line(64))
    git_commit: Mapped[str | None] = mapped_column(Line(40))
    git_dirty: Mapped[bool | None]


class Look(Base):
    """The answers of a sweep's questions when its runs of so many seeds had ended; written once."""

    __tablename__ = "look"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # 0, 1, ...
    seeds: Mapped[int]  # of each cell of a question that was open
    version: Mapped[int]  # of the registration that it was judged by
    judged_at: Mapped[float]
    answers: Mapped[list[Any]] = mapped_column(Answers)  # one object per question


class Scalar(Base):
    """A metric's value at an environment step."""

    __tablename__ = "scalar"
    __table_args__ = {"sqlite_with_rowid": False}  # the key is the row: half the size, twice the speed

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Line(100), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]
    wall_time: Mapped[float]


class Evaluation(Base):
    """Returns of evaluation episodes. kind: 'training', 'final', or 'manual' (asked for by a user)."""

    __tablename__ = "evaluation"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(Line(10))
    env_steps: Mapped[int]
    seed: Mapped[int]
    returns: Mapped[list[float]]
    mean: Mapped[float]
    std: Mapped[float]  # population standard deviation over the episodes
    checkpoint: Mapped[str | None] = mapped_column(Line(200))  # path in the run's folder
    video: Mapped[str | None] = mapped_column(Line(200))  # path in the run's folder
    created_at: Mapped[float]


class Checkpoint(Base):
    """A checkpoint file on disk; `path` is relative to the run's folder."""

    __tablename__ = "checkpoint"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(Line(200), primary_key=True)
    env_steps: Mapped[int]
    updates: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(Line(64))
    created_at: Mapped[float]


class Artifact(Base):
    """A file worth keeping and showing; `path` is relative to the run's folder."""

    __tablename__ = "artifact"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(Line(200), primary_key=True)
    kind: Mapped[str] = mapped_column(Line(20))
    bytes: Mapped[int]
    created_at: Mapped[float]


class Mirrored(Base):
    """How far a run has been copied to MLflow: 'run' -> its id there, 'scalar:NAME' -> the last step, and so on."""

    __tablename__ = "mirrored"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Line(300), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
