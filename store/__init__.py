"""The database: tables, the job state machine, leases, events. SQLAlchemy and the wire types, nothing else of ours."""
