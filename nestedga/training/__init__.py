"""Training of one member: torch, Horovod and data, and nothing of the search. Only this package imports them."""
