"""People's SQL: what may be said (guard), where it runs (a confined child process), what it reads (snapshots)."""
