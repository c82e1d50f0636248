"""``auto``: reverse mode, used by the portfolio search whenever it takes a gradient."""

from hpo.estimators.reverse import ReverseKind

ESTIMATOR = ReverseKind()
