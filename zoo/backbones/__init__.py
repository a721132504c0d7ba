"""Backbones that bring weights: EfficientNet-Lite, and a reader of PyTorch files."""
