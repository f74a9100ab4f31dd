"""Evolution of neural networks while they train: every population member is a Horovod job of its own."""

__version__ = "0.1.0"
