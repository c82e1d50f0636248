"""Lists of what a job may name: tasks, estimators, hyperparameters, schedules."""
