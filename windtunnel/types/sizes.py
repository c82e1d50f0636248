"""How large a model is and what its training takes: what scaling laws count."""

from windtunnel.types.base import Response


class ModelCount(Response):
    """Parameters, operations and bytes of a model."""

    parameters: int
    """All of them."""
    embedding: int
    """In tables whose rows are looked up."""
    readout: int
    """In the readout of a language model, which Kaplan et al. count as an embedding; 0 for others."""
    non_embedding: int
    """N: the rest."""
    roles: dict[str, int]
    """Parameters by muP role."""
    flops_per_token: float
    """6 N: forward 2 N, backward twice that. Of a model without a context: an example. A matrix that acts at many
    positions of one example (a convolution) acts as often: see ``exact_flops_per_token``."""
    context_flops_per_token: float
    """6 n_layer n_ctx d_model of attention's products over the context (Kaplan et al., table 1), which 6 N leaves out."""
    readout_flops_per_token: float
    """6 times the readout's entries, which 6 N leaves out for a language model."""
    exact_flops_per_token: float
    """Three times the operations of the forward pass as the family computes it."""
    left_out: str
    """What 6 N leaves out, in words with its share."""
    tokens_per_example: int
    activation_bytes: int
    """Kept for the backward pass of one example, float32."""
    optimizer_bytes: int
    """Weights and the optimizer's state, float32."""
    optimizer: str

    def compute(self, batch_size: float, steps: float) -> float:
        """C = 6 N B S in floating-point operations.

        Args:
            batch_size: tokens of an update.
            steps: updates.
        """
        return self.flops_per_token * batch_size * steps
