"""Experiments, their recorded results and the paper's tables."""
