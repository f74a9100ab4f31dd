"""``python -m nestedga``: the command line, under any launcher or none. Errors of users end in one line and code 2."""

from __future__ import annotations

import argparse
import sys
import threading
import traceback
from typing import NoReturn

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.overrides import jobs_of
from nestedga.job.show import show
from nestedga.rank.launcher import die_with_launcher, launched_rank

HYDRA_OWN = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
)


def main() -> NoReturn:
    """Composes every job before MPI is started, then runs them; ends the process."""
    arguments = sys.argv[1:]
    try:
        if any(argument.split("=")[0] in HYDRA_OWN for argument in arguments):
            if not launched_rank():  # one rank, and no MPI
                show(arguments)
            sys.exit(0)
        parsed = _parse(arguments)
        jobs = jobs_of(parsed.overrides, parsed.multirun)
        configurations = [Configuration(overrides, parsed.config_dir) for overrides in jobs]
    except SettingError as error:
        if launched_rank():
            sys.exit(0)  # world rank 0 says it; a code from here would have the launcher kill it before it can
        sys.exit(_report(error, 0))
    _run(configurations, parsed.multirun)


def _run(configurations: list[Configuration], multirun: bool) -> NoReturn:
    die_with_launcher()
    from nestedga.comm.agreement import Elsewhere
    from nestedga.comm.lifeline import Lifeline, tells_of_death
    from nestedga.comm.mpi import start_mpi
    from nestedga.comm.world import World

    world = World(start_mpi(max(configuration.settings.training.threads for configuration in configurations)))
    lifeline = Lifeline(world)

    def end(error: BaseException | None) -> NoReturn:
        if isinstance(error, Elsewhere) or tells_of_death(error):
            lifeline.await_end()  # whoever failed says why, or the lifeline who died
        lifeline.end_job(_report(error, world.rank_id))

    # A thread's exception would be seen by nobody, and its work be missed by all.
    threading.excepthook = lambda caught: end(caught.exc_value)
    try:
        from nestedga.job.run import run_job

        codes = []
        for number, configuration in enumerate(configurations):
            if number:
                world.renew()  # no job hears what was said in the one before
            if multirun and world.rank_id == 0:
                print(f"nestedga: job {number}, the last is {len(configurations) - 1}", flush=True)
            codes.append(run_job(world, lifeline, configuration, number if multirun else None))
        lifeline.end_well(max(codes))
    except BaseException as error:  # noqa: BLE001 (whatever it is, the other ranks must not be left waiting)
        end(error)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nestedga", add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    try:
        parsed, unknown = parser.parse_known_intermixed_args(arguments)
    except argparse.ArgumentError as error:
        raise SettingError(str(error)) from error
    # "~optimizer.x" and "-..." : what looks like a flag and is none of ours is a mistake.
    if unknown:
        raise SettingError(
            f"{unknown[0]} is no option; use --multirun, --config-dir DIR, --cfg job, --help or an override as seed=1"
        )
    return parsed


def _report(error: BaseException | None, rank: int) -> int:
    """Says what ends the job; gives the exit code."""
    if isinstance(error, SettingError):
        print(f"nestedga: {error}", file=sys.stderr, flush=True)
        return 2
    if isinstance(error, KeyboardInterrupt):
        print(f"nestedga: interrupted (world rank {rank}); resume=true goes on", file=sys.stderr, flush=True)
    else:  # a fault of ours, of user code or of the machine
        trace = "".join(traceback.format_exception(error))
        print(f"nestedga: fault on world rank {rank}\n{trace}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    main()
