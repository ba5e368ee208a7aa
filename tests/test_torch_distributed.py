"""The losses in two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

RANK = Path(__file__).parent / "torch_rank.py"
LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)


@pytest.fixture
def two_processes(tmp_path):
    """Return a function that runs a scenario in two processes, and says what they printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if LOOPBACK is not None:  # or else gloo asks what address this machine's name stands for
        environment["GLOO_SOCKET_IFNAME"] = LOOPBACK
    started = []

    def run(scenario):
        for rank in "01":
            command = [sys.executable, "-W", "error", RANK, scenario, rank, tmp_path / "rendezvous"]
            pipe = subprocess.PIPE
            started.append(
                subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)
            )
        printed = [process.communicate(timeout=300)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0], "\n".join(printed)
        print(*printed, sep="")
        return printed

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_the_loss_of_a_sharded_batch_is_that_of_the_whole(two_processes):
    for rank, printed in enumerate(two_processes("sharded")):
        lines = [line for line in printed.splitlines() if line.startswith(f"rank {rank}: BCE")]
        assert len(lines) == 2 * 7 * 2  # dtypes, losses, axes


def test_distributed_data_parallel_averages_to_the_gradients_of_the_whole_batch(two_processes):
    for rank, printed in enumerate(two_processes("parallel")):
        assert f"rank {rank}: loss of its half" in printed
