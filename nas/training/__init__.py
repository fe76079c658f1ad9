"""The training loop of steps 1 and 3, and its checkpoints."""
