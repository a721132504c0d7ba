"""One weight-sharing network for the whole search space, with early exits.

Cai et al., Once-for-All, ICLR 2020; here the exit branches share their weights, too.
"""
