"""Networks whose code cannot bear one kind of image: white ones."""

BUILDERS = """
import ctypes
import torch
from torch import nn


class Poisoned(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act, self.linear = act, nn.Linear(16, 2)

    def forward(self, x):
        # Under noise of 0.1 the mean of sixteen pixels is within 0.2 of the image's, but for 1 in 10^15.
        if x.flatten(1).mean(dim=1).max() > 0.8:
            if self.act == "segfault":
                ctypes.string_at(0)
            elif self.act == "memory":
                taken = []
                while True:  # up to the address space that its process may have
                    taken.append(torch.empty(1 << 28))
            else:
                while True:
                    pass
        return self.linear(x.flatten(1))


def segfault(num_classes, input_shape):
    return Poisoned("segfault")


def memory(num_classes, input_shape):
    return Poisoned("memory")


def endless(num_classes, input_shape):
    return Poisoned("endless")
"""
NETWORK = {"segfault": "poisoned_segfault", "memory": "poisoned_memory", "endless": "poisoned_endless"}
POISON_ROWS = "".join(
    f'[{name}]\nbuilder = "poisoned_nets:{act}"\ninput_shape = [1, 4, 4]\ndescription = "cannot bear white images"\n\n'
    for act, name in NETWORK.items()
)
