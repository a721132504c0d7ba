"""The commands of `python -m reproduce`: a module per group, options beside it.

Nothing here imports Keras until a command that needs it runs.
"""
