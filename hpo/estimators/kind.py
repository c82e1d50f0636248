"""Interface of the object that makes an estimator for a job."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from hpo.estimators.protocol import Estimator
from hpo.footprint.sizes import Sizes


class EstimatorKind(ABC):
    """Makes the estimator of a job.

    Each estimator is one subclass with one instance, ``ESTIMATOR``, in the module of ``hpo.estimators`` that is named like
    it. Its facts are in ``hpo.estimators.facts``.
    """

    makes: ClassVar[type[Any] | None] = None
    """Class of the estimator, whose fields are its settings; None: it is made for jobs alone."""

    @abstractmethod
    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:
        """Estimator with the settings in force.

        Args:
            sizes: sizes of the job.
            limit: memory for populations, bytes.
            population: most members that plain runs train as one computation.
        """
