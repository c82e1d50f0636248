"""Facts of self-tuning networks. Imports no torch."""

from hpo.estimators.facts.response import ResponseFacts

FACTS = ResponseFacts(seconds_factor=1.1, update_cost=2, answered=4.0)
"""Two gradients an update: both products of a responding layer, with W and with W_r, go forward and back."""
