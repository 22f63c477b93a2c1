"""Triton twins of the projections: the same numbers on a CUDA device. Tensors in and out; import only where they are used."""
