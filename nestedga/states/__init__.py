"""Members' states in a host's memory: made, kept within limits, crossed. No torch, no MPI."""
