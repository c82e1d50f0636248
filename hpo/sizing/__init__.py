"""What a job takes, before anything is spent: memory, work, seconds. Arithmetic only; imports no torch."""
