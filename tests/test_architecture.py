"""The import rules of docs/architecture.md, checked by walking the imports; and what a newcomer finds."""

import ast
import re
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOT = REPOSITORY / "nestedga"
MODULES = sorted(path for path in ROOT.rglob("*.py"))
LEAVES = {"nestedga", "nestedga.errors"}  # may be imported by all
STARTED = {"__init__", "__main__", "doctor", "errors", "watch"}  # by a person; and the leaf
STDLIB = set(sys.stdlib_module_names)

# Who may import what of ours, by the folders below nestedga; itself besides.
OURS = {
    "population": set(),
    "rank": set(),
    "states": set(),
    "protocol": {"population"},
    "search": {"population"},
    "record": {"population", "protocol", "states"},
    "comm": {"protocol", "rank", "states"},
    "coordination": {"population", "protocol", "record", "search"},
    "training": {"population", "rank", "states"},
    "evaluators": {"population", "rank", "states", "training"},
    "report": {"population", "rank", "record"},
}
FREE = {"job", "simulate", "bridges"}  # anything of ours; imported by each other and by what a person starts alone
# Who alone may import a foreign package.
FOREIGN = {
    "mpi4py": {"comm", "doctor"},  # doctor asks what is there
    "torch": {"training", "doctor"},
    "horovod": {"training", "doctor"},  # in training, one module alone: a rank alone needs none
    "PIL": {"training"},
    "nvidia": {"training"},
    "sklearn": {"training", "search"},
    "tensorboard": {"report"},
    "hydra": {"job", "__main__"},
    "matplotlib": {"simulate"},
    "omegaconf": {"job"},
    "ConfigSpace": {"bridges"},
    "optuna": {"search", "bridges"},
}
# What a search may import besides.
PURE = {
    "numpy",
    "scipy",
    "sklearn",
    "cmaes",
    "moocore",
    "optuna",
    "sortedcontainers",
}  # what a search may import besides
LONGEST, MEDIAN = 400, 110  # lines of a module


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "nestedga" else [base]


def part(path):
    """The first name below nestedga."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def name_of(path):
    return ".".join(("nestedga", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_the_rules(path):
    own = part(path)
    for name in imports(path):
        top = name.split(".")[0]
        if top == "nestedga":
            if name in LEAVES or name == "nestedga.__version__" or own in STARTED:
                continue
            wanted = name.split(".")[1]
            allowed = {*OURS, *FREE} if own in FREE else OURS[own]
            assert wanted in {own, *allowed}, f"{path.name} imports {name}"
        elif top in FOREIGN:
            assert own in FOREIGN[top], f"{path.name} imports {name}"
            assert top != "horovod" or path.name in ("horovod.py", "doctor.py"), f"{path.name} imports {name}"
        elif own == "search":
            assert top in STDLIB | PURE, f"{path.name} imports {name}"
        if own == "search":
            assert top not in {"time", "datetime", "random", "os", "io", "pathlib"}, f"{path.name} imports {name}"


def test_the_rules_let_nobody_import_upward():
    order = list(TopologicalSorter(OURS).static_order())  # a circle raises
    assert set(order) == {*OURS}


def test_modules_import_each_other_in_no_circle():
    names = {name_of(path) for path in MODULES}
    graph = {
        name_of(path): {name for name in imports(path) if name in names and name not in LEAVES} - {name_of(path)}
        for path in MODULES
        if path.name != "__init__.py"
    }
    list(TopologicalSorter(graph).static_order())


def test_the_top_holds_what_a_person_starts():
    assert {path.stem for path in ROOT.glob("*.py")} <= STARTED
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*OURS, *FREE}


def test_modules_are_small():
    lines = {
        path.relative_to(ROOT): len(path.read_text().splitlines()) for path in MODULES if path.name != "__init__.py"
    }
    assert statistics.median(lines.values()) < MEDIAN
    assert not {path: count for path, count in lines.items() if count > LONGEST}


def loaded_by(*modules):
    """What stands in memory after an import of ours."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(answer.stdout.split())


def test_mpi_is_not_started_by_importing_us():
    ours = ("nestedga.__main__", "nestedga.comm.states", "nestedga.comm.world", "nestedga.watch")
    assert "mpi4py.MPI" not in loaded_by(*ours)


def test_a_rank_does_not_load_what_it_may_never_need():
    # Torch's compiler takes two seconds, DALI one; and a job has as many ranks as it has.
    slow = {"torch._dynamo", "torch._inductor", "nvidia.dali", "PIL", "pytorch_optimizer"}
    assert not slow & loaded_by("nestedga.evaluators.training", "nestedga.training.data.loaders.torch")


def documented():
    """Pages of the documentation, and the README."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_what_is_said_where_to_add_is_there():
    table = (REPOSITORY / "docs" / "architecture.md").read_text().split("## Where to add")[1].split("## ")[0]
    paths = re.findall(r"`((?:nestedga|conf|tests|docs)/[^`]*)`", table)
    assert len(paths) > 20
    assert not [path for path in paths if not (REPOSITORY / path).exists()]


@pytest.mark.parametrize("page", documented(), ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    """Paths of the repository, whole or from the package on, and links between pages."""
    text = page.read_text()
    paths = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|sh))`", text)
    places = [REPOSITORY, ROOT, ROOT / "training"]
    examples = set(re.findall(r"# file: (\S+)", text))  # which a page shows, for the reader's own folder
    lost = [path for path in paths if path not in examples and not any((place / path).exists() for place in places)]
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    lost += [link for link in links if link and not (page.parent / link).exists()]
    assert not lost
