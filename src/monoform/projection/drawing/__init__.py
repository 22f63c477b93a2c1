"""Training images on any device: the readable PyTorch of `kernels.shade` and `kernels.paint`, a whole batch at a time.

The draws are those of the compiled road, made on the CPU (`data.rendering.drawing.sample_draws`). Importing this package, or
`records` in it, does not import torch.
"""
