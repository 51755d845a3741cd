"""The denoiser: what it takes away, its layers, and the names of the public files."""

import pytest
import torch
import torch.nn.functional as F
from tests_support import parts

from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import build, skeleton


@torch.no_grad()
def test_it_takes_away_what_seventeen_convolutions_make_of_the_image() -> None:
    model = parts.model(parts.DENOISER, 0)
    state = {name: tensor.double() for name, tensor in model.network.dncnn.state_dict().items()}
    image = torch.rand(2, 1, 8, 8)
    x = F.conv2d(image.double(), state["0.weight"], state["0.bias"], padding=1).clamp_min(0)
    for place in range(2, 47, 3):
        x = F.conv2d(x, state[f"{place}.weight"], padding=1)
        norm = {
            name: state[f"{place + 1}.{name}"][:, None, None]
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        x = (x - norm["running_mean"]) / (norm["running_var"] + 1e-4).sqrt() * norm["weight"] + norm["bias"]
        x = x.clamp_min(0)
    noise = F.conv2d(x, state["47.weight"], padding=1)
    assert float(noise.abs().mean()) > 0.01
    assert torch.allclose(model(image).double(), image - noise, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 17, 40)])
def test_a_fresh_one_gives_any_image_back(shape: Shape) -> None:
    model = build("dncnn", num_classes=0, input_shape=shape).eval()
    x = torch.rand(1, *shape)
    with torch.inference_mode():
        assert torch.equal(model(x), x)


def test_names_are_those_of_public_files() -> None:
    state = skeleton("dncnn", num_classes=0, input_shape=(3, 32, 32)).network.state_dict()
    assert {name.rsplit(".", 1)[0] for name in state} == {
        f"dncnn.{place}" for place in (0, *range(2, 47, 3), *range(3, 48, 3), 47)
    }
    assert [name for name in state if name.endswith("bias") and "running_mean" not in name][:1] == ["dncnn.0.bias"]
    assert tuple(state["dncnn.47.weight"].shape) == (3, 64, 3, 3)
