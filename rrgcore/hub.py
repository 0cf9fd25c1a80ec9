"""The Hugging Face hub, asked once: its own client tries for three quarters of a minute."""

from urllib.error import HTTPError
from urllib.request import Request, urlopen

SECONDS = 5


def hub_reachable() -> bool:
    """Whether the hub answers, and may be asked (HF_HUB_OFFLINE forbids it)."""
    from huggingface_hub import constants  # takes a second: only where a hub name is given

    if constants.is_offline_mode():
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS).close()
    except HTTPError:
        return True  # it answered
    except OSError:
        return False
    return True
