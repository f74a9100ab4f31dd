"""Mend an unpacked Horovod 0.28.1 so that it builds and runs with today's torch and Open MPI.

    python launch/horovod_mends.py build/horovod-0.28.1

Horovod's newest release is older than what it has to work with. Each mend says why, names a file and the
exact text that stands there, and what to put in its place. A text that is not found, or found twice, ends the
program: a mend that silently does nothing would show only later, as a strange failure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple


class Mend(NamedTuple):
    """One exact replacement."""

    why: str
    file: str
    old: str
    new: str


MENDS = (
    Mend(
        "torch 2.1 and newer has C++17 in its headers",
        "CMakeLists.txt",
        "set(CMAKE_CXX_STANDARD 14)",
        "set(CMAKE_CXX_STANDARD 17)",
    ),
    Mend(
        "the same, where the torch part sets it back",
        "horovod/torch/CMakeLists.txt",
        "set(CMAKE_CXX_STANDARD 14)",
        "set(CMAKE_CXX_STANDARD 17)",
    ),
    Mend(
        "one wheel serves every checkout: seek torch and MPI relative to the library, or where they were",
        "CMakeLists.txt",
        "project(horovod CXX)\n",
        "project(horovod CXX)\n"
        "set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)\n"
        'set(CMAKE_INSTALL_RPATH "$ORIGIN/../../torch/lib" "$ORIGIN/../../../..")\n'
        "set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)\n",
    ),
    Mend(
        "CPU-only beside a CUDA build of torch: ask for no CUDA toolkit (neither add_cuda nor libcudart)",
        "cmake/Modules/FindPytorch.cmake",
        'string(TOUPPER "${Pytorch_CUDA}" Pytorch_CUDA)\n',
        'string(TOUPPER "${Pytorch_CUDA}" Pytorch_CUDA)\n'
        "if(NOT DEFINED ENV{HOROVOD_GPU_OPERATIONS})\n"
        "    set(Pytorch_CUDA FALSE)\n"
        "endif()\n",
    ),
    Mend(
        "a driver without the development files has libcuda.so.1 alone",
        "horovod/torch/cuda_util.cc",
        'dlopen("libcuda.so", RTLD_LAZY)',
        'dlopen("libcuda.so.1", RTLD_LAZY)',
    ),
    Mend(
        "Open MPI 5 misreads one dash: it binds every rank to one core and refuses more ranks than cores",
        "horovod/runner/mpi_run.py",
        "_NO_BINDING_ARGS = ['-bind-to none', '-map-by slot']",
        "_NO_BINDING_ARGS = ['--bind-to none', '--map-by slot']",
    ),
    Mend(
        "Python 3.12 and newer have no distutils",
        "horovod/torch/CMakeLists.txt",
        "from distutils.sysconfig import get_python_inc; print(get_python_inc())",
        "import sysconfig; print(sysconfig.get_path('include'))",
    ),
    Mend(
        "the same, where horovodrun looks for jsrun",
        "horovod/runner/js_run.py",
        "from distutils.spawn import find_executable\n",
        "from shutil import which as find_executable\n",
    ),
    Mend(
        "CUDA 13 and GCC 14 have left C++11 behind",
        "horovod/common/ops/cuda/CMakeLists.txt",
        "set(CMAKE_CUDA_STANDARD 11)",
        "set(CMAKE_CUDA_STANDARD 17)",
    ),
    Mend(
        "survive dead ranks where the MPI can: only mpirun's own option does it, no environment variable",
        "horovod/runner/mpi_run.py",
        "    if is_open_mpi(env):\n        return list(_OMPI_FLAGS), list(_NO_BINDING_ARGS), _OMPI_IMPL\n",
        "    if is_open_mpi(env):\n"
        "        fault_tolerance = ['--with-ft ulfm'] if _has_fault_tolerance(env) else []\n"
        "        return list(_OMPI_FLAGS) + fault_tolerance, list(_NO_BINDING_ARGS), _OMPI_IMPL\n",
    ),
    Mend(
        "the question asked above; HOROVOD_FAULT_TOLERANCE=0 turns it off",
        "horovod/runner/mpi_run.py",
        "def _get_mpi_implementation_flags(",
        "def _has_fault_tolerance(env=None):\n"
        '    """True if this is Open MPI 5 or newer, built with user-level fault mitigation (ULFM)."""\n'
        "    if (env or os.environ).get('HOROVOD_FAULT_TOLERANCE') == '0':\n"
        "        return False\n"
        "    output, exit_code = tiny_shell_exec.execute('ompi_info --parsable', env) or ('', 1)\n"
        "    return exit_code == 0 and 'ft_mpi_support:yes' in output\n"
        "\n\n"
        "def _get_mpi_implementation_flags(",
    ),
)


def mend(source: Path) -> None:
    """Apply every mend to the unpacked Horovod at `source`.

    Raises:
        SystemExit: a text to be replaced does not stand exactly once in its file.
    """
    for why, file, old, new in MENDS:
        path = source / file
        text = path.read_text()
        if (found := text.count(old)) != 1:
            sys.exit(f"horovod_mends: {file}: expected once, found {found} times: {old.strip()!r} ({why})")
        path.write_text(text.replace(old, new))


if __name__ == "__main__":
    mend(Path(sys.argv[1]))
