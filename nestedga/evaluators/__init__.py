"""Evaluators: what a group does with a member. One kind a file."""
