#!/usr/bin/env bash
# From a bare checkout to a verdict: sets up, then checks style, layout, types and behaviour, the quickest first.
# Arguments are passed on to pytest: bash launch/test.sh tests/search -k pbt
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# With no core to spare, a rank that waits must leave its core to one that works.
(($(nproc) > 4)) || export OMPI_MCA_mpi_yield_when_idle=1
ruff check
ruff format --check
mypy
exec python -m pytest "$@"
