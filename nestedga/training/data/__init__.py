"""Data sets. One a file; a user's own is one ``_target_`` away."""
