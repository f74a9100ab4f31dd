"""What was written down: the journal, what it tells of a run, the run folder."""
