"""ModelCount: parameters, operations and bytes of a model and its training, as scaling laws count them."""

from windtunnel.types.base import Response


class ModelCount(Response):
    """Parameters, operations and bytes of a model."""

    parameters: int
    """Number of all parameters."""
    embedding: int
    """Number of parameters in tables whose rows are looked up."""
    readout: int
    """Number of parameters in the readout of a language model, which Kaplan et al. count as an embedding; 0 for others."""
    non_embedding: int
    """Number N of the other parameters."""
    roles: dict[str, int]
    """Role of muP -> number of its parameters."""
    flops_per_token: float
    """Operations of a token, 6 N: forward 2 N, backward twice that. Without a context a token is an example.

    A matrix that acts at many positions of an example (a convolution) is counted once here, and as often as it acts in
    ``exact_flops_per_token``.
    """
    context_flops_per_token: float
    """Operations of attention over the context, 6 n_layer n_ctx d_model (Kaplan et al., table 1), which 6 N leaves out."""
    readout_flops_per_token: float
    """Operations of a language model's readout, 6 times its entries, which 6 N leaves out."""
    exact_flops_per_token: float
    """Operations of a token in full: three times the operations of the forward pass as the family computes it."""
    left_out: str
    """Sentence about operations that 6 N leaves out, with their share."""
    tokens_per_example: int
    activation_bytes: int
    """Bytes kept for the backward pass of one example, in float32."""
    optimizer_bytes: int
    """Bytes of the weights and the optimizer's state, in float32."""
    optimizer: str

    def compute(self, batch_size: float, steps: float) -> float:
        """Floating-point operations of a run, C = 6 N B S.

        Args:
            batch_size: tokens of an update.
            steps: updates.
        """
        return self.flops_per_token * batch_size * steps
