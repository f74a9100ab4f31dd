"""Evolution of neural networks while they train: every population member is a Horovod job of its own."""

from nestedga.job import moved

__version__ = "0.1.0"

moved.install()
