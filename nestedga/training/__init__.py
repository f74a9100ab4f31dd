"""Training of one member: torch, collectives and data, and nothing of the search. Only this package imports torch."""
