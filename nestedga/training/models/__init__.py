"""Networks that the experiments name; a user's own is one ``_target_`` away."""
