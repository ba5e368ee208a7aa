"""Press Ctrl-C in the middle of large calls, again and again: a program for tests.

Arguments: a backend's name, and how often.
"""

import signal
import sys
import threading
import time

import numpy as np

import lucid
from lucid import nn
from lucid_host import walk

SIZE = 2**21 + 3
walk.ENOUGH = 2**18  # so that there are threads


def unraisable(event: "sys.UnraisableHookArgs") -> None:
    """Report what can't be raised, but for a Ctrl-C that met a callback of Python's own weak references."""
    if event.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(event)


def main(name: str, times: int) -> None:
    """Interrupt calls at different moments, and see each time that nothing is left broken."""
    sys.unraisablehook = unraisable
    lucid.set_num_threads(2)
    random = np.random.default_rng(0)
    p, y = random.random(SIZE, np.float32), lucid.Tensor(random.integers(0, 2, SIZE), backend=name)
    tensor = lucid.Tensor(p, requires_grad=True, backend=name)

    def call() -> tuple[bytes, bytes]:
        tensor.grad = None
        lucid.rand(1000, backend=name)
        loss = nn.BCELoss()(tensor, y)
        loss.backward()
        unreduced = nn.BCEWithLogitsLoss(reduction="none").value_and_grad(tensor, y)
        return loss.numpy().tobytes(), tensor.grad.numpy().tobytes() + unreduced[1].numpy().tobytes()

    right = call()
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        assert call() == right
        durations.append(time.perf_counter() - start)
    duration = min(durations)
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # a Ctrl-C with a timer
    interrupted = 0
    for n in range(times):
        try:
            signal.setitimer(signal.ITIMER_REAL, duration * (n + 0.5) / times)
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            interrupted += 1
        assert lucid.get_backend().info.name == "numpy"
        assert (lucid.ones(1, requires_grad=True) * 2.0).requires_grad
        drawing = threading.Thread(target=lucid.rand, args=[1], daemon=True)
        drawing.start()
        drawing.join(60)
        assert not drawing.is_alive()
        assert call() == right
    assert interrupted > times / 4, interrupted
    print(f"{name}: {interrupted} of {times} calls interrupted, nothing broken")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
