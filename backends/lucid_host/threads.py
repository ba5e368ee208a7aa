"""Work that threads share, which a Ctrl-C at any moment neither hangs nor leaves behind at work.

The threads of the standard library can't promise that. An interrupt that comes between the taking of a lock
and the `with` that gives it back leaves it taken, and `ThreadPoolExecutor` and `Thread.start` take such
locks. Who waits for one then waits for ever. So these are made of what is one step of the interpreter: raw
locks, and the methods of lists, sets and dictionaries.
"""

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(make: Callable[[], Callable[[Item], Result]], items: list[Item], number: int) -> list[Result]:
    """Do a task for each item, in so many threads, of which the caller's is one.

    Each takes the next item when it has done one. If one raises, or is interrupted, the others stop after the
    item that they are at, and the exception is the caller's.

    Parameters
    ----------
    make : callable
        Makes the task; called once in each thread.
    items : list
        What the task is called with.
    number : int
        How many threads.
    """
    todo = [*enumerate(items)][::-1]
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    begun: set[int] = set()
    done: set[int] = set()
    bells = [allocate_lock() for _ in range(number)]
    for bell in bells:
        bell.acquire()

    def work() -> None:
        task = make()
        while todo:
            try:
                n, item = todo.pop()
            except IndexError:  # another thread was faster
                return
            results[n] = task(item)

    def helper(k: int) -> None:
        begun.add(k)
        try:
            work()
        except BaseException as error:  # the caller's
            errors.append(error)
            todo.clear()
        finally:
            done.add(k)
            bells[k].release()

    def wait(those: Iterable[int]) -> None:
        for k in those:
            while k not in done:  # the interrupt may have come right after the bell
                bells[k].acquire(timeout=1)

    try:
        for k in range(1, number):
            start_new_thread(helper, (k,))
        work()
        wait(range(1, number))
    except BaseException:
        todo.clear()  # before looking who has begun: whoever begins later finds nothing to do
        wait(tuple(begun))
        raise
    if errors:
        raise errors[0]
    return [results[n] for n in range(len(items))]
