"""Disk and objects: run folders, their results, weights, checkpoints, found networks."""
