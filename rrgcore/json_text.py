"""JSON from anywhere, as deep and as long as somebody made it."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError whatever is wrong, a JSONDecodeError where the place is known.

    Python's own parser also ends with a RecursionError.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise ValueError("is not JSON that can be read (nested too deeply)") from None
    except ValueError:  # Python's limit, whose text is advice to programmers
        raise ValueError("is not JSON that can be read (a number of too many digits)") from None
