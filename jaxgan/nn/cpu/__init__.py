"""Kernels that only CPUs use. `jaxgan.nn.convolution` is the one module that imports them."""
