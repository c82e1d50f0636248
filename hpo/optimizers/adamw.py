"""AdamW (Loshchilov & Hutter 2019, algorithm 2): Adam whose decay shrinks the weights beside the update."""

from hpo.optimizers.adam import Adam


class AdamW(Adam):
    """Adam's rule; its decay comes in by the table ``shrink`` alone."""


RULE = AdamW()
