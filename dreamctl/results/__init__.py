"""Reads runs: curves, statistics, figures, the paper's claims, the report."""
