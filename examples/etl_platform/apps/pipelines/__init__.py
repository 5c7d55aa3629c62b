"""What runs: pipelines, schedules, runs, tasks and the ledger."""
