"""The commands of `python -m search`, a file each.

Each file has a function `add(commands)`, which declares its command and its options,
and the function that runs it.
"""
