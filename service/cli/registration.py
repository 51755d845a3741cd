"""Commands that register with a service: ``add-dataset`` and ``add-checkpoint``, out of files that they send, or made by the
service of what it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from radii.service.cli import options as o
from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, Server, connect_patiently
from radii.service.cli.corrupt import CORRUPTIONS, Corruption, Seed, Severity
from radii.service.console import model_text, note, say

COMPOSITION = "Of several checkpoints"

Name = Annotated[str, typer.Argument(help="A name for people; it need not be unique.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the service has read it. (default: wait)")]


def add_dataset(
    name: Name,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", exists=True, dir_okay=False, show_default=False, help="Files of the data set."
        ),
    ] = None,
    builtin: Annotated[
        str | None, typer.Option(metavar="NAME", help="A built-in data set in place of files: digits. (default: none)")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="npz, idx, cifar, zip or cifar10c. (default: told from the content)"),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="All classes in the order of their labels. (default: what the files say)"),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=1,
            max=4096,
            help="Of a zip of class folders: resize each photograph to this shorter side. (default: as it is)",
        ),
    ] = None,
    center_crop: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", min=1, max=4096, help="Then cut the square of this side from its middle. (default: all)"
        ),
    ] = None,
    photographs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Of corrupted images: image i shows photograph i modulo N, 10000 in CIFAR-10-C. Intervals and tests then "
            "resample photographs. (default: each image shows another one)",
        ),
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            rich_help_panel=CORRUPTIONS,
            help="Data set of the service to be corrupted, in place of files. (default: none)",
        ),
    ] = None,
    corruption: Corruption = None,
    severity: Severity = None,
    start: o.Start = None,
    step: o.Step = None,
    count: o.Count = None,
    seed: Seed = None,
    no_wait: NoWait = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send a data set's files, or have another one corrupted, register it, and print its identifier."""
    names = None if class_names is None else [part.strip() for part in class_names.split(",")]
    said: dict[str, Any] = {
        "format": format,
        "class_names": names,
        "resize": resize,
        "center_crop": center_crop,
        "photographs": photographs,
    }
    inputs = {"start": start, "step": step, "count": count}
    if corrupt is None:
        how = {"corruption": corruption or None, "severity": severity or None, **inputs, "seed": seed}
        _check_none(how, "flags of corruptions with --corrupt alone")
    else:
        _check_none(
            {"FILE": files or None, "builtin": builtin, **said}, "neither files nor what is theirs with --corrupt"
        )
    with connect_patiently(server, api_key) as client:
        if corrupt is None:
            made = client.add_dataset(name, files or None, builtin=builtin, **said, wait=not no_wait)
        else:
            made = client.corrupt(
                corrupt,
                name,
                corruptions=corruption or None,
                severities=severity or None,
                inputs=_given(inputs) or None,
                seed=seed,
                wait=not no_wait,
            )
    if made.state == "ready":
        note(f"{made.count:,} images of shape {made.shape}, {made.num_classes} classes.")
        if skipped := (made.source or {}).get("skipped"):
            from radii.rs_core.data.ignored_files import SkippedMembers

            note(SkippedMembers(count=skipped["count"], names=tuple(skipped["names"])).text)
        if period := (made.source or {}).get("label_period"):
            note(
                f"Its labels come again every {period:,} images: if these are corrupted images of {period:,} photographs, "
                f"register them with --photographs {period}, else tests and intervals are far too narrow."
            )
    say(made.id)


def add_checkpoint(
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="A .safetensors, .pt, .pth or .pth.tar file.",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="Network: `radii architectures` lists them. (default: what the file says)"),
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes. (default: what the file says)")] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of an image. (default: what the file says)")
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="First layer, after the noise: none, cifar10, cifar100, imagenet. (default: what the file says)"
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Noise level it was trained with, in [0, 1]-pixel units. (default: what the file says)"),
    ] = None,
    method: Annotated[str | None, typer.Option(help="How it was trained. (default: what the file says)")] = None,
    compose: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            rich_help_panel=COMPOSITION,
            help="Make it of checkpoints of the service, in place of a file: ensemble, denoised, mixed. (default: none)",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            rich_help_panel=COMPOSITION,
            help="A part, in its order: denoiser and classifier, or standard and robust classifier; given for each. "
            "(default: none)",
        ),
    ] = None,
    robust_weight: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=COMPOSITION,
            help="Of mixed, which needs it: share of the robust classifier's probabilities. (default: none)",
        ),
    ] = None,
    standard_scale: Annotated[
        float | None,
        typer.Option(rich_help_panel=COMPOSITION, help="Of mixed: the standard one's logits times this. (default: 1)"),
    ] = None,
    robust_scale: Annotated[
        float | None,
        typer.Option(rich_help_panel=COMPOSITION, help="Of mixed: the robust one's logits times this. (default: 1)"),
    ] = None,
    standard_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            rich_help_panel=COMPOSITION,
            help="Of mixed: side to which images are resized for the standard one. (default: as they are)",
        ),
    ] = None,
    no_wait: NoWait = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send a checkpoint, or have one made of several, register it, and print its identifier."""
    known: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": num_classes,
        "input_shape": _shape(input_shape),
        "normalization": normalization,
        "sigma": sigma,
        "method": method,
    }
    mix: dict[str, Any] = {
        "robust_weight": robust_weight,
        "standard_scale": standard_scale,
        "robust_scale": robust_scale,
        "standard_size": standard_size,
    }
    if compose is None:
        _check_none({"part": part or None, **mix}, "flags of a composition with --compose alone")
    else:
        _check_none({"FILE": file, **known}, "neither a file nor what is said of one with --compose")
    if compose is None and file is None:
        raise typer.BadParameter("expected a FILE, or --compose and a --part for each of its parts, got neither")
    with connect_patiently(server, api_key) as client:
        if compose is not None:
            made = client.compose(name, compose, part or [], wait=not no_wait, **mix)
        else:
            assert file is not None
            made = client.add_checkpoint(name, file, wait=not no_wait, **known)
    if made.state == "ready":
        note(model_text(made))
    say(made.id)


def _check_none(values: Mapping[str, Any], expected: str) -> None:
    """Refuses what belongs to another source than the one that was given."""
    found = [name if name.isupper() else f"--{name.replace('_', '-')}" for name in _given(values)]
    if found:
        raise typer.BadParameter(f"expected {expected}, got {', '.join(found)}")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected C,H,W, got {text!r}", param_hint="--input-shape") from None
