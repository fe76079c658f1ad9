"""Tasks: data in splits, losses and scores."""
