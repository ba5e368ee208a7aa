"""A plugin that lacks members of the contract."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")


@hookimpl
def lucid_create_backend(name):
    return Backend()


class Kernel:
    def forward(self, *operands, needs_grad):
        return operands[1], None


class Backend:
    info = xp = asarray = host_values = differentiable = None
    bce = bce_with_logits = Kernel()
