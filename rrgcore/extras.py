"""What to type for a part of rrg that is optional."""

from rrgcore.installed import checkout


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra: of the checkout that rrg runs from, where it runs
    from one, since an index may have another package of the name.
    """
    here = checkout()
    return f"pip install 'rrg[{extra}]'" if here is None else f"pip install -e '{here}[{extra}]'"
