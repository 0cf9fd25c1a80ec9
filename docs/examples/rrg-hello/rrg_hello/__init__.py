"""What this plugin offers; it imports no torch, so that `rrg list` stays instant."""

from rrgcore import Component, hookimpl

RRG_API = 1


@hookimpl
def rrg_components():
    """Declare the components; a class is imported when a recipe names it."""
    return [
        Component(
            "adapter",
            "hello.pool",
            "rrg_hello.pool:PoolAdapter",
            "average neighbouring visual tokens, then project",
        ),
    ]
