"""Threads and tasks: each has its own backend and its own tape, and the bits of whoever computes alone."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import LucidError
from lucid.testing.harness import host, on

pytestmark = pytest.mark.usefixtures("early_threads")

THREADS = 16
RANDOM = np.random.default_rng(0)
P, Y, W = RANDOM.random(2**20 + 3), RANDOM.integers(0, 2, 2**20 + 3), RANDOM.uniform(0.5, 2, 2**20 + 3)
SIZES = (1, 32, 1000, 2**15 + 3, 2**20 + 3)  # in a piece, in a block, in several, and in threads


@pytest.fixture
def names(install_plugin, lucid_strict):
    """Name the backends that run here, a third party's and a second one of NumPy's among them."""
    install_plugin("good/host.py", name="second")
    running = []
    for entry in lucid.backends():
        try:
            running.append(lucid.get_backend(entry.name).info.name)
        except LucidError:
            continue
    assert {"numpy", "second", "strict"} <= set(running)
    return running


@pytest.fixture
def eager_switches():
    """Let threads interrupt each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(function, arguments):
    """Call a function in as many threads as there are arguments, which start together."""
    barrier = threading.Barrier(len(arguments))

    def call(argument):
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def computed(name):
    """Compute losses and gradients of many sizes on one backend, by tape, by array and by list; as bytes."""
    results = []
    with lucid.use_backend(name) as backend:
        sizes = SIZES if name in {"numpy", "second", "torch"} else SIZES[:3]
        for size in sizes:
            for reduction in ("none", "mean"):
                arrays = [on(backend, each[:size], "float32") for each in (P, Y, W)]
                criterion = nn.BCELoss(arrays[2], reduction)
                results += [host(each, backend) for each in criterion.value_and_grad(*arrays[:2])]
                tensor = lucid.Tensor(P[:size], dtype="float64", requires_grad=True)
                assert tensor.backend is backend
                loss = nn.BCEWithLogitsLoss(reduction="sum")(tensor * 2.0 - tensor, lucid.Tensor(Y[:size]))
                loss.backward()
                results += [host(loss, backend), host(tensor.grad, backend)]
        with lucid.no_grad():
            assert not (tensor * 2.0).requires_grad
        assert (tensor * 2.0).requires_grad
        assert lucid.zeros(1).backend is backend
        results.append(np.asarray(nn.BCELoss()([0.25, 0.5], [0, 1])))
    assert lucid.zeros(1).backend.info.name == "numpy"
    return [each.tobytes() for each in results]


@pytest.mark.usefixtures("eager_switches")
def test_sixteen_threads_on_different_backends_have_the_bits_of_one(names) -> None:
    alone = {name: computed(name) for name in names}
    chosen = [names[n % len(names)] for n in range(THREADS)]
    for name, results in zip(chosen, at_once(computed, chosen), strict=True):
        assert results == alone[name]


@pytest.mark.usefixtures("eager_switches")
def test_threads_that_share_a_criterion_and_its_tensors_have_the_bits_of_one() -> None:
    criterion = nn.BCELoss(lucid.Tensor(W), "mean")
    shared, labels = lucid.Tensor(P), lucid.Tensor(Y)

    def call(n):
        own = lucid.Tensor(P, requires_grad=True)
        criterion(own, labels).backward()
        return (criterion(shared, labels).item(), own.grad.numpy().tobytes())

    assert set(at_once(call, range(THREADS))) == {call(0)}


@pytest.mark.usefixtures("eager_switches")
def test_threads_may_add_to_one_graph_and_walk_it_in_turn() -> None:
    x = lucid.Tensor([3.0], dtype="float64", requires_grad=True)
    root = x * x

    def extend(n):
        y = root
        for _ in range(200):
            y = y + 1.0
        return y * float(n)

    total = sum(at_once(extend, range(THREADS)), start=root * 0.0)
    total.backward()
    assert x.grad.tolist() == [2 * 3.0 * sum(range(THREADS))]


@pytest.mark.usefixtures("eager_switches")
def test_backends_can_be_forgotten_while_others_look_for_them(names) -> None:
    def call(n):
        for _ in range(30):
            if n % 4 == 0:
                lucid.refresh_backends()
            with lucid.use_backend(names[n % len(names)]) as backend:
                assert lucid.Tensor(on(backend, [0.5])).backend is backend
                lucid.backends()
            lucid.set_num_threads(2 if n % 2 else None)
            assert lucid.get_num_threads() >= 1

    try:
        at_once(call, range(THREADS))
    finally:
        lucid.set_num_threads(None)


@pytest.mark.usefixtures("eager_switches")
def test_a_backend_that_all_ask_for_at_once_is_started_once(install_plugin) -> None:
    install_plugin("good/host.py", name="wanted")
    assert len(set(map(id, at_once(lucid.get_backend, ["wanted"] * THREADS)))) == 1


@pytest.mark.usefixtures("eager_switches")
def test_random_numbers_are_drawn_once_each() -> None:
    lucid.manual_seed(0)
    drawn = at_once(lambda _: [lucid.rand(5).tolist() for _ in range(20)], range(THREADS))
    lucid.manual_seed(0)
    alone = [lucid.rand(5).tolist() for _ in range(20 * THREADS)]
    assert sorted(each for some in drawn for each in some) == sorted(alone)


def test_tasks_that_take_turns_keep_their_backends_and_results(names) -> None:
    alone = {name: nn_mean(name) for name in names}

    async def task(name):
        results = []
        with lucid.use_backend(name) as backend:
            for _ in range(5):
                await asyncio.sleep(0)
                assert lucid.get_backend() is backend
                results.append(nn_mean(name))
                results.append(
                    await asyncio.to_thread(selected_mean)
                )  # a thread takes its task's choice along
            with lucid.no_grad():
                await asyncio.sleep(0)
                assert not (lucid.ones(1, requires_grad=True) * 2.0).requires_grad
        return results

    async def main():
        chosen = [names[n % len(names)] for n in range(THREADS)]
        return zip(chosen, await asyncio.gather(*map(task, chosen)), strict=True)

    for name, results in asyncio.run(main()):
        assert results == [alone[name]] * 10


def nn_mean(name):
    with lucid.use_backend(name):
        return selected_mean()


def selected_mean():
    tensor = lucid.Tensor(P[:1000], requires_grad=True)
    loss = nn.BCELoss()(tensor, lucid.Tensor(Y[:1000]))
    loss.backward()
    return loss.backend.info.name, loss.item(), tensor.grad.tolist()
