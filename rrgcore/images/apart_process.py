"""What `rrgcore.images.apart` begins: reads DICOM files from a pipe, and writes their pixels."""

import json
import logging
import sys

import numpy as np

from rrgcore.images.apart import receive, send
from rrgcore.images.dicom_scan import parse_whole


def main() -> None:
    """Decode until there is no more to decode; an error of a file is told by its kind alone."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            data = receive(given)
        except EOFError:
            return
        pixels = np.zeros(0, dtype=np.uint8)
        try:
            decoder, dataset = parse_whole(pydicom, data)
            pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin="gdcm")
            about = {"dtype": pixels.dtype.str, "shape": pixels.shape}
        except Exception as error:  # a broken file can break a parser in any way
            about = {"error": type(error).__name__}
        send(answers, json.dumps(about).encode())
        send(answers, pixels.tobytes())


if __name__ == "__main__":
    main()
