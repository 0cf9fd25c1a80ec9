"""A look that may hang or fail, and does neither here."""

import threading
from collections.abc import Callable, Iterable, Sequence

from rrgcore.doctor.finding import Finding
from rrgcore.errors import UserError


def looked_at(
    part: str, look: Callable[[], Iterable[Finding]], seconds: float
) -> Sequence[Finding]:
    """Return what a look found; where it took too long or failed, that.

    A look that hangs is left behind in a thread that does not keep the process.
    """
    found: list[Finding] = []

    def work() -> None:
        try:
            found.extend(look())
        except UserError as error:
            found.append(Finding(part, "broken", str(error)))
        except BaseException as error:  # a plugin may raise SystemExit
            text = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(Finding(part, "broken", f"could not be looked at: {text}"))

    thread = threading.Thread(target=work, name=f"doctor: {part}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        found.append(
            Finding(
                part,
                "broken",
                f"gave no answer within {seconds:g} seconds",
                "a disk of the network, a driver or a plugin may hang: look there first",
            )
        )
    return list(found)
