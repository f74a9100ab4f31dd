"""MPI, and nothing else: the split of the world, messages, states in memory. Only this package imports mpi4py.

``mpi4py.MPI`` is imported inside functions: importing it initialises MPI, and ``--help`` must not need a launcher.
"""
