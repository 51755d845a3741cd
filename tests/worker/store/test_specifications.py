"""A job's specification and plan are records in the program and JSON in the row, and what HTTP shows is both together."""

import pytest
from tests_support import things

from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, TrainSpec
from radii.worker.store.specifications import (
    AuditPlan,
    CheckpointFiles,
    ComposedCheckpoint,
    ConversionPlan,
    ConvertSpec,
    CorruptedDataset,
    DatasetFiles,
    NoisePlan,
    as_kind,
    dump_spec,
    load_checkpoint_source,
    load_dataset_source,
    load_plan,
    load_spec,
    resolved,
    shown,
)

KINDS = ("certify", "predict", "soft_labels", "train", "evaluate", "verify", "convert")
FILES = [{"name": "a.npz", "sha256": "0" * 64}]
STATED = ("architecture", "num_classes", "input_shape", "normalization", "sigma", "method")


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_comes_back_from_its_row(kind: str) -> None:
    spec = things.spec(kind)
    assert spec.kind == kind and load_spec(dump_spec(spec)) == spec


def test_a_row_of_an_earlier_version_has_the_defaults_of_newer_fields() -> None:
    body = {"kind": "certify", "checkpoint": "c", "dataset": "d", "n": 500, "sigma": 0.5}
    spec = as_kind(load_spec(body), CertifySpec)
    assert (spec.n, spec.sampling, spec.noise, spec.guarantee) == (500, "fixed", "gaussian", "per_input")


def test_what_planning_chose_completes_the_specification() -> None:
    spec = things.spec("certify", sigma=None, bound="mixed")
    found = as_kind(resolved(spec, NoisePlan(sigma=0.5, robust_weight=0.75)), CertifySpec)
    assert (found.sigma, found.robust_weight) == (0.5, 0.75)
    assert resolved(things.spec("predict", sigma=0.25), None) == things.spec("predict", sigma=0.25)
    assert resolved(things.spec("train"), None) == things.spec("train")


@pytest.mark.parametrize(
    "plan",
    [
        NoisePlan(sigma=0.5),
        ConversionPlan(output_bytes=7),
        AuditPlan(chosen=(1, 4), certify=as_kind(things.spec("certify"), CertifySpec), execution={"threads": 2}),
    ],
)
def test_a_plan_comes_back_from_its_row(plan: NoisePlan | ConversionPlan | AuditPlan) -> None:
    assert load_plan(dump_spec(plan)) == plan


def test_an_answer_shows_specification_and_plan_together() -> None:
    certify = as_kind(things.spec("certify", sigma=0.5), CertifySpec)
    audit = shown(things.spec("verify"), AuditPlan(chosen=(1, 4), certify=certify, execution={"threads": 2}))
    assert (audit["chosen"], audit["certify"], audit["execution"]) == ([1, 4], dump_spec(certify), {"threads": 2})
    assert shown(things.spec("certify", sigma=None), NoisePlan(sigma=0.25))["sigma"] == 0.25
    assert shown(things.spec("convert"), ConversionPlan(output_bytes=7))["output_bytes"] == 7
    assert "output_bytes" not in shown(things.spec("convert"), None)


def test_each_source_of_a_dataset_is_read_and_written_as_it_is() -> None:
    files = {"format": None, "files": FILES, "builtin": None}
    corrupted = {"format": "corrupted", "files": FILES, "builtin": None, "corrupt": {"dataset": "ds_0"}}
    for body, kind in ((files, DatasetFiles), (files | {"resize": 256}, DatasetFiles), (corrupted, CorruptedDataset)):
        source = load_dataset_source(body)
        assert isinstance(source, kind)
        written = dump_spec(source)
        assert written.keys() - {"clean_hash"} == body.keys()
        assert load_dataset_source(written) == source


def test_each_source_of_a_checkpoint_is_read_and_written_as_it_is() -> None:
    files = {"files": FILES, **dict.fromkeys(STATED)}
    composed = {"compose": {"kind": "ensemble"}, "parts": [{"id": "ckpt_0", "sha256": "1" * 64}]}
    for body, kind in ((files, CheckpointFiles), (composed, ComposedCheckpoint)):
        source = load_checkpoint_source(body)
        assert isinstance(source, kind) and dump_spec(source) == body


def test_a_mix_of_constant_weight_says_nothing_of_a_mixing_network() -> None:
    body = {"compose": {"kind": "mixed", "robust_weight": 0.75}, "parts": []}
    assert "mixing" not in dump_spec(load_checkpoint_source(body))["compose"]


def test_what_a_conversion_reads() -> None:
    spec = as_kind(things.spec("convert", source={"files": FILES}), ConvertSpec)
    assert ([file.name for file in spec.files], spec.parts) == (["a.npz"], ())


def test_the_certificates_of_an_attack() -> None:
    attack = things.spec("evaluate", evaluation={"name": "attack", "certificates": "job_1"})
    assert attack.compared_with == "job_1"
    assert things.spec("evaluate").compared_with is None and things.spec("train").compared_with is None


def test_a_specification_of_another_kind_is_not_taken_for_it() -> None:
    with pytest.raises(TypeError, match="expected a EvaluateSpec, got a TrainSpec"):
        as_kind(things.spec("train"), EvaluateSpec)
    assert isinstance(as_kind(things.spec("train"), TrainSpec), TrainSpec)
