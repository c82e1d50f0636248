"""The question that an estimator answers with torch: the estimator of a job."""

from abc import ABC, abstractmethod

from hpo.estimators.protocol import Estimator
from hpo.footprint.sizes import Sizes


class EstimatorKind(ABC):
    """Makes the estimator of a job.

    Each estimator is one subclass with one instance, ``ESTIMATOR``, in the module of ``hpo.estimators`` that is named like
    it. Its facts are in ``hpo.estimators.facts``.
    """

    @abstractmethod
    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:
        """The estimator with the settings in force.

        Args:
            sizes: of the job.
            limit: memory for populations, bytes.
            population: members that plain runs train as one computation, at most.
        """
