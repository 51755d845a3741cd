"""The training pass: its options change memory, time and rounding, and nothing else."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from radii.rs_core.attacks import frozen, pgd, smoothed_loss
from radii.rs_core.errors import Mismatch
from radii.rs_core.methods import cat_rs
from radii.rs_core.models import registry
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.feature_maps import kept
from radii.rs_core.models.training_forward import TrainingForward, grouped, sees_the_batch, training_forward
from radii.rs_core.specs.jobs import CatRs, Normalization

RGB = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))


def _digits() -> BaseClassifier:
    torch.manual_seed(0)
    return registry.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8))


def _resnet20() -> BaseClassifier:
    torch.manual_seed(0)
    return registry.build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32), normalization=RGB)


def _bottlenecks() -> nn.Module:
    """torchvision's ResNet-50 with fewer blocks."""
    torch.manual_seed(0)
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [2, 1, 1, 1], num_classes=5)


def _plain_blocks() -> nn.Module:
    """Batch normalisation, dropout and in-place layers in a row, as in torchvision's VGG."""
    torch.manual_seed(0)
    rows = [[nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)] for _ in range(6)]
    flat = [layer for row in rows for layer in row]
    return nn.Sequential(nn.Sequential(*flat), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 64, 4))


def _images(count: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(1))


def _pass(run: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, and the gradient of the images, of one training step; the weights' gradients stay in the model."""
    torch.manual_seed(5)
    x = x.clone().requires_grad_()
    logits = run(x)
    loss = nn.functional.cross_entropy(logits, torch.arange(len(x)) % logits.shape[1])
    loss.backward()
    assert x.grad is not None
    return loss.detach(), x.grad


def _kept_bytes(run: nn.Module, x: Tensor) -> int:
    """Bytes of activations that stay in memory between a forward and its backward pass, each storage counted once."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in run.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = run(x)
    assert kept.requires_grad
    return sum(storages.values())


def _grads(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_a_pass_without_options_is_the_models_own() -> None:
    model = _digits()
    assert training_forward(model) is model
    assert isinstance(training_forward(model, forward_batch=8), TrainingForward)


@pytest.mark.parametrize(
    ("make", "shape", "size"),
    [(_resnet20, (3, 32, 32), 4), (_bottlenecks, (3, 32, 32), 4), (_plain_blocks, (3, 8, 8), 6)],
    ids=["cifar_resnet20", "torchvision's resnet", "layers in a row with dropout"],
)
def test_block_by_block_every_number_is_that_of_the_ordinary_pass(
    make: Callable[[], nn.Module], shape: tuple[int, int, int], size: int
) -> None:
    plain, sparing = make(), make()
    run = TrainingForward(sparing, forward_batch=size // 2)
    plain.train(), run.train()
    x = _images(size, shape)
    for _ in range(2):  # running statistics move twice, and the second pass sees the first one's
        loss, image_gradient = _pass(plain, x)
        same_loss, same_gradient = _pass(run, x)
        assert torch.equal(loss, same_loss)
        assert torch.equal(image_gradient, same_gradient)
    assert _grads(plain).keys() == _grads(sparing).keys()
    assert all(torch.equal(gradient, _grads(sparing)[name]) for name, gradient in _grads(plain).items())
    buffers = dict(sparing.named_buffers())
    assert any("num_batches_tracked" in name for name in buffers)
    assert all(torch.equal(value, buffers[name]) for name, value in plain.named_buffers())


def test_in_pieces_logits_and_gradients_are_those_of_the_ordinary_pass_up_to_rounding() -> None:
    # In float64, where rounding is of the order of 1e-16.
    plain, sparing = _digits().double(), _digits().double()
    run = TrainingForward(sparing, forward_batch=16)
    x = _images(50, (1, 8, 8)).double()
    loss, image_gradient = _pass(plain, x)
    same_loss, same_gradient = _pass(run, x)
    torch.testing.assert_close(same_loss, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(same_gradient, image_gradient, rtol=1e-10, atol=1e-15)
    for name, gradient in _grads(plain).items():
        assert float((gradient - _grads(sparing)[name]).norm() / gradient.norm()) < 1e-12, name


def test_in_evaluation_mode_a_network_with_batch_normalisation_is_cut_into_pieces_too() -> None:
    model = _plain_blocks()
    run = TrainingForward(model, forward_batch=3)
    assert sees_the_batch(model)
    x, y = _images(8, (3, 8, 8)), torch.arange(8) % 4
    noises = 0.1 * torch.randn(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    found, kept = [], []
    for pass_of in (model, run):
        with frozen(pass_of):
            assert not sees_the_batch(model)
            stream = torch.Generator().manual_seed(3)
            found.append(pgd(smoothed_loss(pass_of, noises, y), x, epsilon=0.5, steps=2, generator=stream))
            kept.append(_kept_bytes(pass_of, x.clone().requires_grad_()))
    assert float((found[0] - x).flatten(1).norm(dim=1).min()) > 0.4
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-4)
    assert kept[1] < 0.5 * kept[0]


class _Reading(nn.Module):
    """A network that keeps what a sequence inside one of its sequences gives during a pass."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.stages = nn.Sequential(nn.Conv2d(3, 3, 1), inner)
        self.read: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        with kept(self, ["stages.1"]) as found:
            logits = self.stages(x).mean((2, 3))
        self.read.append(found["stages.1"])
        return logits


def test_a_sequence_inside_a_sequence_is_still_seen_by_who_reads_its_output() -> None:
    """Mixing networks read the outputs of such parts, in ConvNeXt and EfficientNet."""
    model, x = _Reading(), _images(6, (3, 8, 8))
    for run in (model, TrainingForward(model, forward_batch=2)):
        run(x)
    plain, block_by_block = model.read
    assert torch.equal(plain, block_by_block)


def test_fewer_activations_are_kept() -> None:
    digits, images = _digits(), _images(64, (1, 8, 8))
    assert _kept_bytes(TrainingForward(digits, forward_batch=16), images) < 0.35 * _kept_bytes(digits, images)
    resnet, images = _resnet20(), _images(4, (3, 32, 32))
    assert _kept_bytes(TrainingForward(resnet, forward_batch=2), images) < 0.45 * _kept_bytes(resnet, images)


def test_a_batch_that_is_small_enough_is_passed_whole() -> None:
    model, x = _resnet20(), _images(4, (3, 32, 32))
    assert _kept_bytes(TrainingForward(model, forward_batch=4), x) == _kept_bytes(model, x)


def test_a_block_that_changes_its_input_is_refused() -> None:
    broken = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.SiLU(inplace=True), nn.Flatten()))
    with pytest.raises(Mismatch, match=r"\(forward_batch\): expected a network whose blocks leave their inputs"):
        TrainingForward(broken, forward_batch=1)(_images(2, (1, 8, 8)))


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(Mismatch, match="expected a network of blocks"):
        TrainingForward(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), forward_batch=1)(_images(2, (1, 8, 8)))


def test_a_group_never_begins_with_a_layer_that_works_in_place() -> None:
    layers = [nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True)] * 18
    groups = grouped(layers)
    assert [layer for group in groups for layer in group] == layers
    assert len(groups) > 6
    assert all(isinstance(group[0], nn.Conv2d) for group in groups)


@pytest.mark.parametrize("make", [_digits, _resnet20], ids=["digits_cnn", "cifar_resnet20"])
def test_bf16_computes_in_bf16_and_answers_in_fp32(make: Callable[[], BaseClassifier]) -> None:
    model = make()
    seen: list[torch.dtype] = []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    x = _images(8, (1, 8, 8) if make is _digits else (3, 32, 32))
    logits = TrainingForward(model, precision="bf16")(x)
    assert (seen, logits.dtype) == ([torch.bfloat16], torch.float32)
    exact = model(x)
    assert not torch.equal(logits, exact)
    # bf16 keeps 8 bits of each factor.
    assert float((logits - exact).detach().norm() / exact.detach().norm()) < 0.05
    logits.sum().backward()
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {torch.float32}


def test_bf16_with_fewer_activations_has_the_numbers_of_bf16() -> None:
    plain, sparing = _resnet20(), _resnet20()
    x = _images(6, (3, 32, 32))
    expected = _pass(TrainingForward(plain, precision="bf16"), x)
    found = _pass(TrainingForward(sparing, precision="bf16", forward_batch=2), x)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert all(torch.equal(gradient, _grads(sparing)[name]) for name, gradient in _grads(plain).items())


def test_channels_last_changes_the_order_in_memory_alone() -> None:
    plain, other = _resnet20(), _resnet20()
    run = TrainingForward(other, memory_format="channels_last")
    seen: list[bool] = []
    block = next(module for module in other.modules() if type(module).__name__ == "BasicBlock")
    block.register_forward_hook(
        lambda module, inputs, output: seen.append(output.is_contiguous(memory_format=torch.channels_last))
    )
    x = _images(4, (3, 32, 32))
    torch.testing.assert_close(run(x), plain(x), rtol=1e-4, atol=1e-5)
    assert seen == [True]


def test_methods_see_the_networks_modules_and_modes_through_the_pass() -> None:
    model = _resnet20()
    run = TrainingForward(model, forward_batch=2)
    assert cat_rs._attack_all(CatRs(), run)
    assert not cat_rs._attack_all(CatRs(), TrainingForward(_digits(), forward_batch=2))
    run.eval()
    assert not model.training
    with frozen(run):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_cuda_device_fewer_activations_take_less_memory_and_give_the_same_gradients(precision: str) -> None:
    torch.backends.cudnn.deterministic = True
    x = _images(256, (3, 32, 32)).cuda()
    peaks, gradients = [], []
    for forward_batch in (None, 64):
        model = _resnet20().cuda()
        run = TrainingForward(model, precision=precision, memory_format="channels_last", forward_batch=forward_batch)
        torch.cuda.reset_peak_memory_stats()
        nn.functional.cross_entropy(run(x), torch.arange(256, device="cuda") % 10).backward()
        peaks.append(torch.cuda.max_memory_allocated())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert peaks[1] < 0.6 * peaks[0]
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 1e-5
