"""What members learn. One task a file; a user's own is one ``_target_`` away."""
