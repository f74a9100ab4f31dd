"""What a coordinator knows and decides: groups, the queue, states, other parts. Plain values; no MPI and no files."""
