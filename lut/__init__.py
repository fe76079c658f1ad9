"""Latency tables: schema, look-up, measuring devices, fitted device models, importers."""
