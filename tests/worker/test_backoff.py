"""Pauses grow up to a limit, and the same message is logged less and less often."""

from radii.worker.backoff import Backoff, RepeatedMessages


def test_pauses_double_up_to_the_limit_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(first=2.0, longest=60.0)
    pauses = [backoff.pause() for _ in range(2_000)]
    for pause, exact in zip(pauses, (2, 4, 8, 16, 32, *[60] * 1_995), strict=True):
        assert 0.8 * exact <= pause <= 1.2 * exact
    assert len(set(pauses)) > 1_900, "those of several workers differ"
    backoff.reset()
    assert backoff.pause() <= 2.4


def test_of_a_thousand_equal_messages_ten_are_logged_and_every_other_one_is_news() -> None:
    repeats = RepeatedMessages()
    logged = [repeats.count for _ in range(1_000) if repeats.worth_logging("no torch")]
    assert logged == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert repeats.worth_logging("no disk") and repeats.worth_logging("no torch")
    repeats.reset()
    assert repeats.worth_logging("no torch")


def test_workers_that_say_the_same_count_as_one() -> None:
    repeats = RepeatedMessages(together=4)
    logged = [repeats.count for _ in range(40) if repeats.worth_logging("no torch")]
    assert logged == [1, 2, 4, 8]
