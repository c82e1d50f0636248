"""What a search hands over when a best-response run of it has ended."""

from dataclasses import dataclass

from hpo.best_response.run import BestResponseRun, Standing


@dataclass(frozen=True)
class Answer:
    """A run, and where it ended."""

    run: BestResponseRun
    standing: Standing
