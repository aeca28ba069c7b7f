"""Figures drawn from stored runs, one module per kind."""
