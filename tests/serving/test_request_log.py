"""The lines of requests on their way from nginx to stdout."""

from __future__ import annotations

import contextlib
import os
import select

import pytest
from servers import wait_until

from scoreline.serving import request_log
from scoreline.serving.request_log import HELD_BYTES, RequestLog

WITHIN_S = 20  # a log that stands still fails a test rather than hold it up


def send(pipe, content):
    """Write some bytes, as many as there is room for."""
    assert select.select([], [pipe], [], WITHIN_S)[1], "the pipe stays full"
    return os.write(pipe, content)


def receive(pipe, most=1 << 16):
    assert select.select([pipe], [], [], WITHIN_S)[0], "nothing comes"
    return os.read(pipe, most)


@pytest.fixture
def out():
    """Give a pipe that stands for our stdout: the end to read and the end to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


@pytest.fixture
def start(tmp_path, out):
    """Give a function that starts a log towards a descriptor, and opens its pipe as nginx does."""
    opened = []

    def start(descriptor):
        log = RequestLog(tmp_path / "requests", descriptor)
        log.start()
        opened.append((log, os.open(log.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)))
        return opened[-1]

    yield start
    for log, writer in opened:
        os.close(writer)
        log.stop()


def test_lines_go_on_as_they_come(start, out):
    _, writer = start(out[1])
    for line in (b"one\n", b"two\nthree\n"):
        send(writer, line)
        assert receive(out[0]) == line


def test_a_line_without_its_end_waits_for_it(start, out):
    log, writer = start(out[1])
    send(writer, b"one\ntw")
    assert receive(out[0]) == b"one\n"
    wait_until(lambda: log._held == b"tw")
    send(writer, b"o\n")
    assert receive(out[0]) == b"two\n"


def test_a_line_that_is_longer_than_a_pipe_takes_at_once_comes_in_pieces(start, out):
    _, writer = start(out[1])
    line = b"x" * 10_000 + b"\n"
    send(writer, line)
    came = b""
    while len(came) < len(line):
        came += receive(out[0])
    assert came == line


def test_many_lines_come_whole_and_in_order(start, out):
    _, writer = start(out[1])
    lines = b"".join(b"request %d\n" % number for number in range(20_000))
    came, sent = bytearray(), 0
    while len(came) < len(lines):
        sent += send(writer, lines[sent : sent + 4096])
        piece = receive(out[0])
        assert piece.endswith(b"\n")
        came += piece
    assert came == lines


def test_what_is_there_at_the_end_is_carried_too(tmp_path, out, monkeypatch):
    monkeypatch.setattr(request_log, "_LOOK_EVERY_S", 60)  # it is woken by what comes, and by nothing else
    log = RequestLog(tmp_path / "requests", out[1])
    with open(log.path, "wb", buffering=0) as writer:
        writer.write(b"the last\n")
    log._stop.set()
    log.start()
    log.stop()
    assert receive(out[0]) == b"the last\n"


def test_a_writer_never_waits_for_who_does_not_read_stdout_and_what_is_lost_is_said(start, out):
    log, writer = start(out[1])
    line = b"x" * 99 + b"\n"
    for _ in range(3 * HELD_BYTES // len(line)):  # far more than pipes hold
        send(writer, line)
    wait_until(lambda: log._dropped > 0)
    os.set_blocking(out[0], False)
    came = bytearray()

    def has_said():
        with contextlib.suppress(BlockingIOError):
            came.extend(os.read(out[0], 1 << 16))
        return b"bytes of request lines were dropped: nobody read stdout\n" in came

    wait_until(has_said)
    dropped = int(came.partition(b"serve: ")[2].split()[0])
    wait_until(lambda: (has_said(), came.count(line) * len(line) + dropped == 3 * HELD_BYTES // len(line) * 100)[1])


def test_a_stdout_that_is_closed_keeps_nobody_waiting(start, out):
    os.close(out[0])
    _, writer = start(out[1])
    for _ in range(2000):
        send(writer, b"x" * 99 + b"\n")
