"""How a job is put together: the configuration, the plan, the start and the end on every rank."""
