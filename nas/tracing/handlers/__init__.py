"""What reads each ATen operation; importing this package registers all of them."""

from nas.tracing.handlers import affine, arithmetic, axes, cuts, layers, norms, positions

__all__ = ["affine", "arithmetic", "axes", "cuts", "layers", "norms", "positions"]
