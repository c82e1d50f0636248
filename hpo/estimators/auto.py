"""``auto``: reverse mode, which the portfolio asks for gradients when it wants one."""

from hpo.estimators.reverse import ReverseKind

ESTIMATOR = ReverseKind()
