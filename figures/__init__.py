"""Plots of what the zoo's models record."""
