"""Work that threads share: all of it is done, in order, and an exception in one is the caller's."""

import pytest

from lucid_host.threads import in_threads


@pytest.mark.parametrize("number", [1, 2, 7])
def test_each_item_is_done_once_and_the_results_are_in_order(number) -> None:
    made = []

    def make():
        made.append(None)
        return lambda item: item**2

    assert in_threads(make, list(range(100)), number) == [n**2 for n in range(100)]
    assert len(made) == number


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("number", [1, 2, 7])
def test_an_exception_stops_all_and_is_the_caller_s(number, error) -> None:
    done = []

    def task(item):
        if item == 3:
            raise error
        done.append(item)

    with pytest.raises(error):
        in_threads(lambda: task, list(range(10_000)), number)
    assert len(done) < 10_000
