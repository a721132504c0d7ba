"""Search for early exits on a trained backbone, whose weights stay as they are.

The backbone is computed once for every image. A head depends on nothing but the
features at its place, so that each is trained once, and a candidate is a combination of
heads whose answers are known.
"""
