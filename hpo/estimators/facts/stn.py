"""Facts of self-tuning networks. Imports no torch."""

from hpo.estimators.facts.response import ResponseFacts

FACTS = ResponseFacts(seconds_factor=1.1, update_cost=2, answered=4.0)
"""Facts of self-tuning networks. An update costs two gradients: forward and backward through both products of a layer with
a response, with W and with W_r."""
