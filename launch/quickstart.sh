#!/usr/bin/env bash
# From a bare checkout to population based training on scikit-learn's digits: sets up, then starts 4 ranks.
# Arguments are passed on as overrides: bash launch/quickstart.sh search.generations=2
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# With no core to spare, a rank that waits must leave its core to one that works.
(($(nproc) > 4)) || export OMPI_MCA_mpi_yield_when_idle=1
exec horovodrun -np 4 python -m nestedga +experiment=digits_pbt "$@"
