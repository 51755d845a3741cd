"""Images from outside are decoded by a process of their own, which has nothing, and of which nothing is believed but numbers."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import pictures, processes, system

from radii.rs_core.errors import InvalidImages, Mismatch
from radii.worker.sandbox import decoder_client
from radii.worker.sandbox.decoder import share
from radii.worker.sandbox.decoder_client import Decoder

SHAPE = (1, 8, 8)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    found = Decoder()
    yield found
    found.close()


def _pid(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def test_an_image_comes_back_as_its_pixels(decoder: Decoder) -> None:
    images = decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert (images == pictures.RAMP[None, None]).all()


def test_floats_keep_every_bit(decoder: Decoder) -> None:
    wanted = np.random.default_rng(1).random((5, *SHAPE)).astype(np.float32)
    assert (decoder.decode(pictures.npz(images=wanted), shape=SHAPE, most=5) == wanted).all()


def test_an_error_is_that_of_the_reader(decoder: Decoder) -> None:
    with pytest.raises(Mismatch, match="expected images of 1x8x8"):
        decoder.decode(pictures.png(pictures.RAMP[:4]), shape=SHAPE, most=5)
    with pytest.raises(InvalidImages, match="expected a PNG or JPEG image"):
        decoder.decode(b"something else", shape=SHAPE, most=5)


def test_images_that_end_their_copy_are_told_so_and_the_next_ones_are_decoded(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)  # the start takes longer than the time below
    monkeypatch.setattr(decoder_client, "SECONDS", 2.0)
    with pytest.raises(InvalidImages, match="decoded in 10 s and 4 GiB of memory, got ones that ended the decoder"):
        decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most="no number")  # type: ignore[arg-type]
    assert decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5).shape == (1, *SHAPE)


TRICKLING = """
import signal, sys, time
from radii.worker.sandbox import decoder
decoder.SECONDS, decoder.KILLED_AFTER = 1, {killed_after}
def answer(stream):
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        try:
            stream.write(b" ")
            stream.flush()
        except OSError:
            pass
        time.sleep(0.1)
decoder._answer = answer
sys.argv[1:] = {arguments!r}
decoder.main()
"""


@pytest.mark.parametrize("killed_after", [2.0, 1000.0])
def test_code_in_a_copy_that_answers_a_byte_at_a_time_is_given_up_and_killed(
    decoder: Decoder, killed_after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has switched off the alarm that should end it. The service does not depend on the decoder's killing it."""
    real = subprocess.Popen

    def start(command: list[str], **how: Any) -> Any:
        arguments = command[command.index("radii.worker.sandbox.decoder") + 1 :]
        code = TRICKLING.format(arguments=arguments, killed_after=killed_after)
        return real([sys.executable, "-P", "-c", code], **how)

    def decode() -> None:
        with pytest.raises(InvalidImages, match="ended the decoder"):
            decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
        ended.set()

    monkeypatch.setattr(decoder_client.subprocess, "Popen", start)
    monkeypatch.setattr(decoder_client, "SECONDS", 3.0)
    ended = threading.Event()
    threading.Thread(target=decode, daemon=True).start()
    assert ended.wait(20)
    if killed_after < 10:
        processes.until(lambda: not system.children(_pid(decoder)), 10, "no copy is left")


def test_each_request_has_a_copy_of_its_own_and_all_have_gone_when_they_have_answered(decoder: Decoder) -> None:
    for _ in range(5):
        decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    processes.until(lambda: not system.children(_pid(decoder)), 10, "no copy is left")


def test_the_process_has_no_credentials_and_no_way_to_write_large_files(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADII_DATABASE_URL", "postgresql://user:secret@host/db")
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert b"secret" not in Path(f"/proc/{_pid(decoder)}/environ").read_bytes()
    limits = Path(f"/proc/{_pid(decoder)}/limits").read_text()
    assert [line.split()[-3] for line in limits.splitlines() if line.startswith("Max address space")] == [
        str(4 * 2**30)
    ]
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]


@pytest.mark.parametrize("total, each", [(2, 0.5), (8, 2), (64, 4)])
def test_requests_that_are_decoded_at_once_share_their_memory(total: int, each: float) -> None:
    memory = share(total * 2**30, 4)
    assert memory == each * 2**30
    decoder = Decoder(memory)
    try:
        assert decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5).shape == (1, *SHAPE)
        limits = Path(f"/proc/{_pid(decoder)}/limits").read_text()
        assert f"Max address space         {memory} " in limits
    finally:
        decoder.close()


def test_a_decoder_outlives_the_thread_that_has_started_it(decoder: Decoder) -> None:
    """Threads of a service end when they are idle."""
    starter = threading.Thread(target=decoder.start)
    starter.start()
    starter.join()
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    first = _pid(decoder)
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert _pid(decoder) == first


def test_a_decoder_that_was_killed_is_started_again(decoder: Decoder) -> None:
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    first = _pid(decoder)
    os.kill(first, signal.SIGKILL)
    assert decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5).shape == (1, *SHAPE)
    assert _pid(decoder) != first


def _messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "radii.decoder"]


def test_how_a_decoder_ended_is_logged(decoder: Decoder, caplog: pytest.LogCaptureFixture) -> None:
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert _messages(caplog) == []
    os.kill(_pid(decoder), signal.SIGKILL)
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert _messages(caplog) == ["the decoder was ended by signal 9 (SIGKILL)"]
    decoder.close()
    assert len(_messages(caplog)) == 1, "closing it is no failure"


def test_a_decoder_that_ends_before_it_is_asked_is_a_problem_of_the_request_and_no_crash(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(decoder_client.socket, "send_fds", broken)
    with pytest.raises(InvalidImages, match="ones that ended the decoder"):
        decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)


def test_why_a_decoder_does_not_come_up_is_logged(
    decoder: Decoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [sys.executable, "-c", "raise ImportError('no such library')"]
    monkeypatch.setattr(decoder_client.launch, "command", lambda *_: broken)
    with pytest.raises(InvalidImages):
        decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    decoder.start()
    ends = [record for record in caplog.records if record.message == "the decoder ended with code 1"]
    assert ends and ends[0].stderr == "ImportError: no such library"  # type: ignore[attr-defined]


def test_how_a_copy_ended_is_logged_with_the_request_that_it_was_at(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    images = pictures.npz(images=np.zeros((5, *SHAPE), np.uint8))
    with pytest.raises(InvalidImages):
        decoder.decode(images, shape=SHAPE, most="no number")  # type: ignore[arg-type]
    assert _messages(caplog) == ["a copy of the decoder ended with code 1", "images were not decoded"]
    assert caplog.records[1].why == "an answer came that no decoder gives"  # type: ignore[attr-defined]


def test_a_copy_that_was_killed_is_logged(decoder: Decoder, caplog: pytest.LogCaptureFixture) -> None:
    with decoder._asked():
        processes.until(lambda: bool(system.children(_pid(decoder))), 10, "there is a copy")
        (copy,) = system.children(_pid(decoder))
        os.kill(copy, signal.SIGKILL)
        decoder._wait_for_report()
    decoder.decode(pictures.png(pictures.RAMP), shape=SHAPE, most=5)
    assert _messages(caplog) == ["a copy of the decoder was ended by signal 9 (SIGKILL)"]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"not json\n",
        b"[]\n",
        b'{"shape": [1, 1, 8, 8], "dtype": "object"}\n' + b"\0" * 512,
        b'{"shape": [1, 1, 8, 8], "dtype": "uint8"}\n' + b"\0" * 10,
        b'{"shape": [9, 1, 8, 8], "dtype": "uint8"}\n' + b"\0" * 576,
        b'{"shape": [1, 2, 8, 8], "dtype": "uint8"}\n' + b"\0" * 128,
        b'{"shape": [1, 1, 8, 8], "dtype": "float32"}\n' + b"\xff" * 256,
    ],
)
def test_what_a_decoder_says_that_somebody_has_taken_over_is_not_believed(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(said)
    with ours, ours.makefile("rb") as stream, pytest.raises(decoder_client.Ended):
        decoder_client._pixels(stream, SHAPE, 5)
