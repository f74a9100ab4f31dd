"""Evolutionary searches and their operators."""
