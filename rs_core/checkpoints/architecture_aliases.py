"""Names that public checkpoints use for architectures of ours. Torch-free."""

ALIASES = {"cifar_dncnn": "dncnn", "imagenet_dncnn": "dncnn"}
"""Architectures that public files call by another name."""
