"""The `psdist` command: starts a job's processes and ends them. No other role is imported."""
