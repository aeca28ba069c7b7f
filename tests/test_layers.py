"""Who may import whom, and what may not be imported early."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import those above it.
AGENT = [
    "agent.config",
    "agent.tasks",
    "agent.patience",
    "agent.divergence",
    "agent.files",
    "agent.seeds",
    "agent.device",
    "agent.capture",
    "agent.returns",
    "agent.distributions",
    "agent.networks",
    "agent.rssm",
    "agent.objectives",
    "agent.world_model",
    "agent.behavior",
    "agent.planner",
    "agent.dreamer",
    "agent.rendering",
    "agent.suite",
    "agent.external",
    "agent.environment",
    "agent.replay",
    "agent.prediction",
    "agent.rollout",
    "agent.collector",
    "agent.checkpoints",
    "agent.trained",
    "agent.training",
]
FLOORS = {
    "dreamctl.errors": {"agent"},
    "dreamctl.wording": set(),
    "dreamctl.settings": {"dreamctl.errors"},
    "dreamctl.store": {"agent", "dreamctl.errors", "dreamctl.settings", "dreamctl.wording", "dreamctl.store"},
    "dreamctl.jobs": {
        *("agent", "dreamctl.errors", "dreamctl.settings", "dreamctl.wording"),
        *("dreamctl.store", "dreamctl.jobs"),
    },
    # which runs a sweep has, and how far it is
    "dreamctl.results": {
        *("agent", "dreamctl.errors", "dreamctl.wording", "dreamctl.store", "dreamctl.results"),
        *("dreamctl.jobs.sweeps", "dreamctl.jobs.spec", "dreamctl.jobs.questions", "dreamctl.jobs.claims"),
        "dreamctl.jobs.contrasts",
        "dreamctl.jobs.progress",
    },
    "dreamctl.api": {"agent", "dreamctl.errors", "dreamctl.store", "dreamctl.jobs", "dreamctl.results"},
    "dreamctl.cli": {"agent", "dreamctl"},
    "dreamctl.__main__": {"dreamctl.cli"},
    "dreamctl": set(),
}
HEAVY = {"torch", "mlflow", "pandas", "matplotlib", "dm_control", "mujoco", "psutil", "alembic", "numpy", "PIL"}
MAY_BE_HEAVY = {
    "dreamctl.store.migrations.env",  # loaded by Alembic alone
    "dreamctl.store.migrations.versions.0001_first",
    "dreamctl.store.migrations.versions.0002_sweeps",
    "dreamctl.store.migrations.versions.0003_job",
    "dreamctl.store.migrations.versions.0004_stopped",
    "dreamctl.store.migrations.versions.0005_processes",
    "dreamctl.store.migrations.versions.0006_newest",
    "dreamctl.store.migrations.versions.0007_note",
    "dreamctl.store.migrations.versions.0008_parent",
    "dreamctl.store.migrations.versions.0009_work",
    "dreamctl.store.migrations.versions.0010_questions",
}


@cache
def modules(package: str) -> dict[str, ast.Module]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text())
    return found


def loaded_at_once(tree: ast.AST) -> list[ast.AST]:
    """The statements that run when a module is imported: no functions, nothing for type checkers alone."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not checking:
            found += [node, *loaded_at_once(node)]
    return found


def imports(tree: ast.AST, everywhere: bool = True) -> set[str]:
    """Modules that a file imports anywhere, or only those that it imports as soon as it is imported itself."""
    found = set()
    for node in ast.walk(tree) if everywhere else loaded_at_once(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("name", [name for name in modules("agent") if name != "agent"])
def test_agent_modules_import_only_those_above_them(name):
    assert name in AGENT, f"place {name} in the list above"
    allowed = set(AGENT[: AGENT.index(name)])
    used = {module for module in imports(modules("agent")[name]) if module in AGENT}
    assert used <= allowed
    assert not any(module.startswith("dreamctl") for module in imports(modules("agent")[name]))


@pytest.mark.parametrize("name", list(modules("dreamctl")))
def test_dreamctl_floors(name):
    floor = max((f for f in FLOORS if name == f or name.startswith(f + ".")), key=len)
    for module in imports(modules("dreamctl")[name]):
        if module.split(".")[0] in ("agent", "dreamctl") and module != "dreamctl":
            assert any(module == f or module.startswith(f + ".") for f in FLOORS[floor]), f"{name} imports {module}"


@pytest.mark.parametrize("name", list(modules("dreamctl")))
def test_heavy_imports_happen_where_they_are_used(name):
    tree = modules("dreamctl")[name]
    early = imports(tree, everywhere=False)
    heavy = {module for module in early if module.split(".")[0] in HEAVY or module in AGENT[5:]}
    if name.startswith("dreamctl.results."):  # loaded by the commands that draw and compare
        heavy -= {module for module in heavy if module.split(".")[0] == "numpy"}
    assert not heavy or name in MAY_BE_HEAVY
    if "mlflow" in {module.split(".")[0] for module in imports(tree)}:
        assert name in ("dreamctl.store.mirror", "dreamctl.store.tracking")


def test_the_config_and_the_tasks_need_nothing_heavy():
    for name in ("agent", "agent.config", "agent.tasks", "agent.patience"):
        assert not {module.split(".")[0] for module in imports(modules("agent")[name])} & HEAVY
