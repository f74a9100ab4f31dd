"""Searches: pure algorithms that decide which member comes next. One algorithm a file; no MPI, torch, clock or IO."""
