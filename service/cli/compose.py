"""Commands that make one model of several, from files: ``radii compose ensemble``, ``denoised`` and ``mixed``."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.console import CommandError, model_text, note, say

if TYPE_CHECKING:
    from radii.rs_core.specs.composition import Composition

composed = typer.Typer(
    help="Make one checkpoint of several, which needs them no more: ensemble, denoised, mixed.", no_args_is_help=True
)

Out = Annotated[
    Path, typer.Option(metavar="FILE", help="The checkpoint to write, .safetensors; it must not exist yet.")
]
Scale = Annotated[float, typer.Option(help="Its logits are multiplied by this before the softmax.")]


def _part(what: str) -> Any:
    return typer.Argument(exists=True, dir_okay=False, help=f"{what}: a .safetensors file, or a research .pth.tar.")


@composed.command()
def ensemble(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", exists=True, dir_okay=False, help="Two or more classifiers."),
    ],
    out: Out,
) -> None:
    """The mean of the logits of two or more classifiers."""
    from radii.rs_core.specs.composition import Ensemble

    _write(Ensemble(), parts, out)


@composed.command()
def denoised(
    denoiser: Annotated[Path, _part("The denoiser")],
    classifier: Annotated[Path, _part("The classifier, which need not know noise")],
    out: Out,
) -> None:
    """A classifier that is shown what a denoiser makes of the noisy image (arXiv 2003.01908)."""
    from radii.rs_core.specs.composition import Denoised

    _write(Denoised(), [denoiser, classifier], out)


@composed.command()
def mixed(
    standard: Annotated[Path, _part("The standard classifier")],
    robust: Annotated[Path, _part("The robust classifier")],
    out: Out,
    robust_weight: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the robust classifier's probabilities; 1: it alone.")
    ],
    standard_scale: Scale = 1.0,
    robust_scale: Scale = 1.0,
    standard_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            metavar="PIXELS",
            help="Side to which images are resized for the standard classifier. (default: as they are)",
        ),
    ] = None,
) -> None:
    """A standard and a robust classifier, mixed in their probabilities (arXiv 2301.12554)."""
    from radii.rs_core.specs.composition import Mixed

    for name, scale in (("--standard-scale", standard_scale), ("--robust-scale", robust_scale)):
        if not 0 < scale <= 1e4:
            raise typer.BadParameter(f"expected a number above 0, at most 10000, got {scale:g}", param_hint=name)
    composition = Mixed(
        robust_weight=robust_weight,
        standard_scale=standard_scale,
        robust_scale=robust_scale,
        standard_size=standard_size,
    )
    _write(composition, [standard, robust], out)


def _write(composition: "Composition", files: Sequence[Path], out: Path) -> None:
    from radii.rs_core.checkpoints.compose import compose
    from radii.service.local.architecture_plugins import use_registered
    from radii.service.local.models import ours

    if out.suffix != ".safetensors":
        raise CommandError(f"--out must end in .safetensors, got {str(out)!r}.")
    if out.exists():
        raise CommandError(f"The file {out} exists: choose another --out, or remove it.")
    use_registered()
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        readable = [stack.enter_context(ours(file, {})) for file in files]
        info = compose(composition, readable, out, origins=files)
    note(model_text(info))
    say(f"The checkpoint is in {out}.")
