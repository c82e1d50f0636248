"""How a job process ends: what its exit status tells the supervisor. Other statuses, and signals, are crashes."""

SETTLED = 0
"""The job's next state is in the database: it succeeded, failed, or went back to the queue after a crash."""

STOPPED = 10
"""It was asked to stop, by SIGTERM or by a cancel flag, and wrote nothing about it."""

LEASE_LOST = 11
"""The job belongs to another epoch; nothing was written."""

ORPHANED = 12
"""Its supervisor has gone."""

UNRENEWED = 13
"""Its supervisor did not say in time that the lease goes on: the database, or the supervisor, does not answer."""
