"""The shared weights: super-network, ordered dropout, extraction, recalibration."""
