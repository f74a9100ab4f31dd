"""``python -m nestedga.doctor``: what is there, and whether groups can train side by side; any launcher or none.

Exit code 0: all is well. 1: a line "wrong:" names each trouble and its remedy. 2: an option that cannot be met.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import TYPE_CHECKING, Any, NoReturn

from nestedga import __version__
from nestedga.errors import SettingError
from nestedga.rank.launcher import die_with_launcher, launched_local_size, launched_rank

if TYPE_CHECKING:
    from mpi4py import MPI

    from nestedga.comm.group import Group
    from nestedga.comm.world import World
    from nestedga.protocol.layout import Layout

TRIAL_SECONDS = 2.0
TRIAL_NUMBERS = 1 << 18  # float32, so 1 MiB: about the gradients of ResNet-20
HANG_SECONDS = 60.0  # a group whose trial takes so long hangs
SETUP = "bash launch/setup.sh installs all that is needed"
Facts = list[tuple[str, str]]


def main() -> NoReturn:
    """Looks, prints (world rank 0 alone) and leaves."""
    parser = argparse.ArgumentParser(prog="python -m nestedga.doctor", description="Says what is there, tries groups.")
    parser.add_argument("--group-size", type=int, help="ranks of a group (default: 2, or 1 where there is one rank)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads per rank (default: 1)")
    options = parser.parse_args()
    die_with_launcher()
    facts, wrong = packages()
    code = 1
    if not any(text.startswith(("mpi4py", "numpy")) for text in wrong):
        try:
            wrong = in_the_world(facts, wrong, options.group_size, options.threads)
            code = 1 if wrong else 0
        except SettingError as error:
            wrong, code = [str(error)], 2
    elif launched_rank():
        time.sleep(5.0)  # world rank 0, where it has the same trouble, has said so and ended the job by then
        print(*(f"wrong: world rank {launched_rank()}: {text}" for text in wrong), sep="\n", flush=True)
    if not launched_rank():
        width = max(len(name) for name, _ in facts)
        lines = [f"{name:{width}}  {text}" for name, text in facts] + [f"wrong: {text}" for text in wrong]
        print(*lines, *([] if wrong else ["all is well"]), sep="\n", flush=True)
    sys.exit(code)


def packages() -> tuple[Facts, list[str]]:
    """What is installed on this rank, and what of it is wrong; MPI is not started."""
    facts, wrong = [("nestedga", __version__), ("Python", platform.python_version())], []

    def look(name: str, module: str, describe: Callable[[Any], str], needed: bool = True) -> None:
        try:
            text = describe(importlib.import_module(module))
        except (ImportError, OSError) as error:  # missing, or there and broken
            missing = isinstance(error, ModuleNotFoundError) and module.startswith(str(error.name))
            text = "not installed" if missing else f"cannot be imported: {error}"
            if needed:
                wrong.append(f"{name}: {text}; {SETUP}")
        facts.append((name, text))

    look("numpy", "numpy", lambda numpy: str(numpy.__version__))
    look("mpi4py", "mpi4py", lambda mpi4py: str(mpi4py.__version__))
    look("torch", "torch", _describe_torch)
    look("Horovod", "horovod.torch", _describe_horovod)
    look("DALI", "nvidia.dali", _describe_dali, needed=False)
    if not wrong:
        hvd, torch = sys.modules["horovod.torch"], sys.modules["torch"]
        if not hvd.mpi_built():
            wrong.append("Horovod was built without MPI; build it with HOROVOD_WITH_MPI=1, as launch/setup.sh does")
        if torch.cuda.is_available() and not hvd.nccl_built():
            facts.append(
                (
                    "note",
                    "Horovod was built without NCCL: groups sum through the host's memory, also those on GPUs",
                )
            )
    return facts, wrong


def _describe_torch(torch: Any) -> str:
    if torch.version.cuda is None:
        return f"{torch.__version__}, built without CUDA"
    devices = Counter(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    found = _listed(f"{count} x {name}" for name, count in devices.items())
    return f"{torch.__version__}, built with CUDA {torch.version.cuda}; devices: {found}"


def _describe_dali(dali: Any) -> str:
    # Wheels for several CUDA series write over each other: there should be one.
    wheels = sorted(found.name for found in metadata.distributions() if found.name.startswith("nvidia-dali-cuda"))
    return f"{dali.__version__}, for data.loader=dali; from {_listed(wheels)}"


def _describe_horovod(hvd: Any) -> str:
    built = {name: bool(getattr(hvd, f"{name.lower()}_built")()) for name in ("MPI", "NCCL", "Gloo", "CUDA", "ROCm")}
    there, lacking = (_listed(name for name in built if built[name] is wanted) for wanted in (True, False))
    return f"{metadata.version('horovod')}, built with {there}; without {lacking}"


def in_the_world(facts: Facts, wrong: list[str], group_size: int | None, threads: int) -> list[str]:
    """MPI, the split, the trial; every rank together. Adds to the facts; gives what is wrong on any rank."""
    from nestedga.comm.lifeline import Lifeline
    from nestedga.comm.mpi import library_version, start_mpi
    from nestedga.comm.waiting import gather_all
    from nestedga.comm.world import World
    from nestedga.protocol.layout import split_evenly

    try:
        comm = start_mpi(threads)
    except RuntimeError as error:
        return [*wrong, f"{error}; use an MPI built with threads, and leave MPI4PY_RC_THREAD_LEVEL unset"]
    facts.append(("MPI", f"{library_version()}, MPI_THREAD_MULTIPLE"))
    facts.append(("fault tolerance", _fault_tolerance(comm)))
    size, here = comm.Get_size(), launched_local_size()
    if size == 1 and here > 1:
        return [*wrong, f"{here} ranks were started and MPI sees one; use the mpirun of the MPI that mpi4py uses"]
    yields = os.environ.get("OMPI_MCA_mpi_yield_when_idle") == "1"  # noqa: SIM112 (Open MPI's own spelling)
    waits = f"yield_when_idle {'on' if yields else 'off'}"
    facts.append(("node", f"ranks x threads: {here} x {threads} on {os.cpu_count()} cores; {waits}"))
    layout = split_evenly(size, min(2, size) if group_size is None else group_size, "spread")
    facts.append(("layout", str(layout)))
    everywhere = gather_all(comm, wrong, HANG_SECONDS, "all ranks")
    if any(everywhere):
        return [f"world rank {rank}: {text}" for rank, there in enumerate(everywhere) for text in there]
    world = World(comm)
    lifeline = Lifeline(world)
    wrong = try_groups(world, layout, threads, facts, lambda: lifeline.end_job(1))
    lifeline.close()
    return wrong


def _fault_tolerance(world: MPI.Comm) -> str:
    try:
        world.Is_revoked()
    except (AttributeError, NotImplementedError):
        return "this MPI has none"
    on = os.environ.get("OMPI_MCA_mpi_ft_enable", "").lower() in ("1", "true")  # noqa: SIM112 (as above)
    return f"supported, switched {'on' if on else 'off; mpirun --with-ft ulfm switches it on'}"


def try_groups(world: World, layout: Layout, threads: int, facts: Facts, end_job: Callable[[], None]) -> list[str]:
    """Every group's trial at the same time; every rank together. As ``in_the_world``."""
    from nestedga.comm.waiting import gather_all

    def hang() -> None:
        print(f"wrong: world rank {world.rank_id} hangs in its group; is a firewall in the way?", flush=True)
        end_job()

    timer = threading.Timer(HANG_SECONDS, hang)
    timer.start()
    group = world.form(layout.groups)
    try:
        here = (platform.node(), *trial(world, group, threads), "")
        tried = "mpi_threads_supported yes"  # no would have been an exception
        if len(group.ranks) == 1:
            tried = "not tried: a rank alone has nothing to sum"
        facts.append(("Horovod in MPI", tried))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what the user wants to read)
        here = (platform.node(), "?", 0.0, f"{type(error).__name__}: {error}".splitlines()[0])
    seen = gather_all(world.epoch.comm, here, 2 * HANG_SECONDS, "all ranks")
    timer.cancel()
    nodes = Counter(node for node, *_ in seen)
    facts.append(("ranks per node", _listed(f"{count} on {node}" for node, count in nodes.items())))
    for ranks in layout.groups:
        rate = seen[ranks[0]][2]
        sums = (
            f"{rate:.0f} allreduces/s, {rate * 4 * TRIAL_NUMBERS / 1e6:.0f} MB/s"
            if len(ranks) > 1
            else "nothing to sum"
        )
        who = _listed(f"{rank} on {seen[rank][1]}" for rank in ranks)
        verdict = "failed" if any(seen[rank][3] for rank in ranks) else "ok"
        facts.append((f"group {ranks[0]}", f"world ranks {who}; {sums}; {verdict}"))
    return [f"world rank {rank}: {trouble}" for rank, (*_, trouble) in enumerate(seen) if trouble]


def trial(world: World, group: Group, threads: int) -> tuple[str, float]:
    """Sums 1 MiB over the group for two seconds while the others do: (device of this rank, sums per second).

    A group of one rank has nothing to sum: 0 per second.

    Raises:
        RuntimeError: Horovod found an MPI without threads, or a sum is wrong.
    """
    import horovod.torch as hvd
    import torch

    from nestedga.training.data_parallel import DataParallel
    from nestedga.training.device import pick_device

    torch.set_num_threads(threads)
    parallel = DataParallel(group.training, "horovod")
    try:
        if parallel.size > 1 and not hvd.mpi_threads_supported():
            raise RuntimeError("Horovod finds MPI without threads; build both with the same MPI (launch/setup.sh)")
        device = pick_device("auto", world.node_rank)
        parallel.agree_on(device)
        right = len(group.ranks) * (len(group.ranks) + 1) / 2
        numbers = torch.empty(TRIAL_NUMBERS, device=device)
        began, count, votes = time.monotonic(), 0, 0.0
        while not votes:  # the last number is a vote to stop, so that all ranks stop after the same sum
            numbers.fill_(group.inner_rank + 1)
            numbers[-1] = time.monotonic() - began > TRIAL_SECONDS
            parallel.sum_(numbers, "doctor")
            count, votes = count + 1, float(numbers[-1])
            if not bool((numbers[:-1] == right).all()):
                raise RuntimeError(f"a sum over the group is {numbers[0]:g} and should be {right:g}; {SETUP}")
        return str(device), count / (time.monotonic() - began) if len(group.ranks) > 1 else 0.0
    finally:
        parallel.close()


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"


if __name__ == "__main__":
    main()
