"""What reads each ATen operation; importing this package registers all of them."""

from nas.tracing.handlers import arithmetic, layers, positions

__all__ = ["arithmetic", "layers", "positions"]
