"""Searches: pure algorithms that decide which member comes next; no MPI, torch, clock or IO. One algorithm a file.

``base`` has what every search promises and what searches share, and each other folder a family: ``evolution`` and
``pbt`` breed, ``model_based`` learns what to expect, ``sampling`` learns nothing, ``wrappers`` are made of others.
"""
