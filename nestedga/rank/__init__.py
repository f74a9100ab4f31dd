"""What a rank knows of itself: its place, its seconds, its watchdog, what its launcher says. Plain values; no MPI."""
