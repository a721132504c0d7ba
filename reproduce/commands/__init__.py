"""The commands of `python -m reproduce`: a module per group, options beside the function.

Nothing here imports Keras until a command that needs it runs.
"""
