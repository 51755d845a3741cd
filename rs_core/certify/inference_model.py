"""Prepares a network for inference: the same function, at less cost.

Batch normalisation is folded into the convolutions before it (in evaluation mode it is one more linear map), and weights
lie in memory as convolutions read them (channels last). Neither changes more than the last bits of the logits, which is
checked each time: where it does, or where a network cannot be traced, the network runs unchanged.

``bf16`` runs the network in bfloat16. That is another function, and the certificate is about it: noise is drawn and added
in float32, and only the noisy image is rounded.

``compiled`` has torch's inductor write the network's code for batches of one shape, which takes from seconds (where it did
so before on this machine) to a minute, and pays on long work: small networks get twice as fast. Where there is no compiler,
or what it makes gives other logits, the network runs as it was. On a GPU the compiled network is captured as a graph.
"""

import copy
import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.specs.fields import Precision

LAST_BITS = 1e-4
"""Largest difference of logits, relative to the largest logit, that folding may make."""
LAST_BITS_OF_BF16 = 0.05
"""The same between two ways of running a network in bfloat16, whose eight bits round in every layer."""
PROBE = 4
NETWORKS = 10_000
"""Compiled networks of one process."""

Network = Callable[[Tensor], Tensor]

log = logging.getLogger("radii.certify")


class InferenceModel:
    """``base_classifier`` in evaluation mode: (B, C, H, W) float32 in pixel units -> logits (B, K) float32.

    The classifier itself is left as it is, but for evaluation mode. Batches are best channels-last in memory; all have one
    shape. Weights that are changed between two calls of :meth:`refresh` are seen after the second.
    """

    def __init__(self, base_classifier: nn.Module, *, precision: Precision = "fp32", compiled: bool = False) -> None:
        self.base_classifier = base_classifier.eval()
        self.precision, self.compiled = precision, compiled
        self._network: Network | None = None
        self._of: list[tuple[int, int]] = []

    def refresh(self) -> None:
        """Prepares anew at the next batch where the classifier's weights were changed since the last time."""
        tensors = (*self.base_classifier.parameters(), *self.base_classifier.buffers())
        now = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        if now != self._of:
            self._network, self._of = None, now

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> Tensor:
        """Logits of a batch; the first one prepares the network for images of its shape."""
        rounded = batch.bfloat16() if self.precision == "bf16" else batch
        if self._network is None:
            self._network = self._prepared(batch)
            if self.compiled:
                bits = LAST_BITS if self.precision == "fp32" else LAST_BITS_OF_BF16
                self._network, self.compiled = compiled(self._network, rounded, bits)
        return torch.as_tensor(self._network(rounded)).float()

    def _prepared(self, batch: Tensor) -> nn.Module:
        if not any(isinstance(module, nn.Conv2d) for module in self.base_classifier.modules()):
            return copy.deepcopy(self.base_classifier).bfloat16() if self.precision == "bf16" else self.base_classifier
        stream = torch.Generator(batch.device).manual_seed(0)
        probe = torch.rand((PROBE, *batch.shape[1:]), generator=stream, device=batch.device)
        network = folded(self.base_classifier, probe).to(memory_format=torch.channels_last)
        return network.bfloat16() if self.precision == "bf16" else network


@torch.no_grad()
def folded(base_classifier: nn.Module, probe: Tensor) -> nn.Module:
    """A copy with batch normalisation folded into convolutions; a plain copy where that changes its logits at ``probe``
    (B, C, H, W) by more than their last bits, or where the network cannot be traced."""
    plain = copy.deepcopy(base_classifier)
    if not any(isinstance(module, _BatchNorm) for module in plain.modules()):
        return plain
    try:
        found = fuse(plain)
        close = _close(found(probe), plain(probe), LAST_BITS)
    except Exception:  # tracing runs the network's own code on stand-ins, which may fail in any way
        return plain
    return found if close else plain


@torch.no_grad()
def compiled(network: Network, batch: Tensor, last_bits: float) -> tuple[Network, bool]:
    """The network compiled for batches of one shape, and whether it is: as it was where that fails, or where it changes
    the logits of ``batch`` by more than ``last_bits`` of the largest."""
    wanted = network(batch)
    try:
        from torch._dynamo import config as tracing
        from torch._inductor import config

        # Settings hold where the network is traced, at the first batch: there weights become constants. The limits are for
        # one network in many shapes; here it is many networks of one code, in one shape each, and beyond the limit torch
        # would go on without compiling and without a word.
        limits = tracing.patch(recompile_limit=NETWORKS, accumulated_recompile_limit=NETWORKS)
        with limits, config.patch({"freezing": True, "compile_threads": 1, "triton.cudagraphs": batch.is_cuda}):
            # Torch looks for a GPU's compiler meanwhile, and warns where there is no GPU.
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
            found = torch.compile(network, dynamic=False)
            close = _close(found(batch), wanted, last_bits)
    except Exception as error:  # no compiler, or a network that it cannot take, which shows in any way
        log.warning("the network runs without being compiled", extra={"error": str(error).strip()[:300]})
        return network, False
    return (found, True) if close else (network, False)


def _close(got: Tensor, wanted: Tensor, last_bits: float) -> bool:
    """Whether logits differ by at most ``last_bits`` of the largest; never where one of them is no finite number."""
    if not (bool(torch.isfinite(got).all()) and bool(torch.isfinite(wanted).all())):
        return False
    return torch.allclose(got, wanted, rtol=0, atol=last_bits * float(wanted.abs().max()))
