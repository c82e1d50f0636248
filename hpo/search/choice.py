"""Chooses the search of a job by its estimator."""

from hpo.estimators.registry import response_objectives
from hpo.search.best_response.alternating import Alternating
from hpo.search.best_response.search import BestResponseSearch
from hpo.search.descent.descent import Descent
from hpo.search.portfolio.portfolio import Portfolio
from hpo.search.protocol import Search, SearchContext


def search_of(context: SearchContext) -> Search:
    """The search that the facts of the job's method name.

    A job that names an estimator has its gradients followed; ``auto`` may use every arm of the portfolio.
    """
    method = context.spec.method
    match method.info.search:
        case "portfolio":
            return Portfolio(context)
        case "best_response":
            return BestResponseSearch(context, response_objectives(method.estimator))
        case "descent" if method.best_response is not None:
            return Alternating(context, response_objectives(method.best_response))
        case "descent":
            return Descent(context)
