"""How many threads there are: the caller's word, the environment's, the processors of this process."""

import os

import pytest

import lucid


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    monkeypatch.delenv("LUCID_NUM_THREADS", raising=False)
    yield
    lucid.set_num_threads(None)


def test_the_default_is_what_the_process_may_run_on() -> None:
    assert lucid.get_num_threads() == len(os.sched_getaffinity(0))


def test_the_environment_is_read_at_use_and_the_call_goes_first(monkeypatch) -> None:
    monkeypatch.setenv("LUCID_NUM_THREADS", "3")
    assert lucid.get_num_threads() == 3
    lucid.set_num_threads(2)
    assert lucid.get_num_threads() == 2
    lucid.set_num_threads(None)
    assert lucid.get_num_threads() == 3


@pytest.mark.parametrize("said", ["0", "-1", "two", "1.5"])
def test_nonsense_in_the_environment_is_named(monkeypatch, said) -> None:
    monkeypatch.setenv("LUCID_NUM_THREADS", said)
    with pytest.raises(ValueError, match=f"LUCID_NUM_THREADS must be a positive integer, not '{said}'"):
        lucid.get_num_threads()


def test_less_than_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        lucid.set_num_threads(0)
    with pytest.raises(TypeError):
        lucid.set_num_threads(1.5)
