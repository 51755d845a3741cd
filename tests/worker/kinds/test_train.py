"""What workers know of training jobs."""

from tests_support import things

from radii.rs_core.specs.jobs import TrainSpec
from radii.worker.kinds.train import TRAIN
from radii.worker.store.specifications import as_kind


def test_a_training_that_ran_out_of_memory_goes_on_with_the_activations_of_half_as_many_images() -> None:
    spec = as_kind(things.spec("train", batch_size=64), TrainSpec)
    assert TRAIN.smaller(spec, {}) == {"forward_batch": 32}
    assert TRAIN.smaller(spec, {"forward_batch": 3}) == {"forward_batch": 1}
    assert TRAIN.smaller(spec, {"forward_batch": 1}) is None


def test_a_request_for_fewer_activations_is_where_that_begins() -> None:
    spec = as_kind(things.spec("train", batch_size=64, forward_batch=8), TrainSpec)
    assert TRAIN.smaller(spec, {}) == {"forward_batch": 4}
