"""A plugin that starts another one first: "a-needs-b" starts "b-needs-a", which starts it in turn."""

import gate

import lucid
from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name=name, api_version=1, array_types=("numpy:ndarray",), requires="numpy")


@hookimpl
def lucid_create_backend(name):
    first, _, second = name.partition("-needs-")
    gate.started[first].set()
    assert gate.started[second].wait(60)
    lucid.get_backend(f"{second}-needs-{first}")
