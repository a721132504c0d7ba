"""Plots of what models and searches record."""
