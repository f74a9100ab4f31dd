"""Evolutionary searches, with and without generations, and their operators: selection, crossover, mutation."""
