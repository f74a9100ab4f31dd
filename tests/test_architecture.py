"""The import rules of docs/architecture.md, checked by walking the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "nestedga"
MODULES = sorted(path for path in ROOT.rglob("*.py"))
LEAVES = {"nestedga", "nestedga.errors"}  # may be imported by all
STDLIB = set(sys.stdlib_module_names)

# Who may import what of ours, by the first part below nestedga; a leaf besides.
OURS = {
    "member": set(),
    "genes": {"member"},
    "space": {"genes", "member"},
    "states": {"states"},
    "ledger": set(),
    "watchdog": set(),
    "search": {"genes", "member", "space", "search"},
    "layout": set(),
    "comm": {"messages", "states", "comm"},
    "place": {"ledger", "watchdog"},
    "training": {"member", "place", "states", "training"},
    "evaluators": {"member", "place", "states", "evaluators", "training"},
    "journal": set(),
    "objectives": set(),
    "messages": {"member"},
    "coordination": {"journal", "layout", "member", "messages", "search", "coordination"},
    "worker": {"evaluators", "member", "messages", "place", "states"},
    "run_folder": {"journal", "states"},
    "config": {"layout", "member", "space"},
    "schedule": {"config", "genes", "journal", "member", "report", "run_folder", "search", "space"},
    "configspace": {"config", "genes", "member", "space"},
    "optuna_sampler": {"genes", "member", "search", "space"},
}
# Who alone may import a foreign package.
FOREIGN = {
    "mpi4py": {"comm", "doctor", "run"},  # doctor asks what is there; run names a type
    "torch": {"training", "doctor"},
    "horovod": {"training", "doctor"},
    "PIL": {"training"},
    "nvidia": {"training"},
    "sklearn": {"training", "search"},
    "tensorboard": {"report"},
    "hydra": {"config", "__main__"},
    "matplotlib": {"report"},
    "omegaconf": {"config"},
    "ConfigSpace": {"configspace"},
    "optuna": {"search", "optuna_sampler"},
}
PURE = {
    "numpy",
    "scipy",
    "sklearn",
    "cmaes",
    "moocore",
    "optuna",
    "sortedcontainers",
}  # what a search may import besides


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "nestedga" else [base]


def part(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_the_rules(path):
    for name in imports(path):
        top = name.split(".")[0]
        if top == "nestedga":
            if name in LEAVES or name == "nestedga.__version__" or part(path) not in OURS:
                continue
            assert name.split(".")[1] in OURS[part(path)], f"{path.name} imports {name}"
        elif top in FOREIGN:
            assert part(path) in FOREIGN[top], f"{path.name} imports {name}"
        elif part(path) == "search":
            assert top in STDLIB | PURE, f"{path.name} imports {name}"
        if part(path) == "search":
            assert top not in {"time", "datetime", "random", "os", "io", "pathlib"}, f"{path.name} imports {name}"


def loaded_by(*modules):
    """What stands in memory after an import of ours."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(answer.stdout.split())


def test_mpi_is_not_started_by_importing_us():
    ours = ("nestedga.__main__", "nestedga.comm.states", "nestedga.comm.groups", "nestedga.watch")
    assert "mpi4py.MPI" not in loaded_by(*ours)


def test_a_rank_does_not_load_what_it_may_never_need():
    # Torch's compiler takes two seconds, DALI one; and a job has as many ranks as it has.
    slow = {"torch._dynamo", "torch._inductor", "nvidia.dali", "PIL", "pytorch_optimizer"}
    assert not slow & loaded_by("nestedga.evaluators.training", "nestedga.training.data.loaders.torch")
