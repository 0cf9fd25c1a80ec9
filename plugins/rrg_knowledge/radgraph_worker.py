"""What runs in the interpreter that has the package `radgraph`: JSON in, JSON out, line by line.

Run as a script, never imported, by any Python from 3.8 on: it knows nothing of rrg. The first line
says which model; each line after it holds reports, and is answered by their documents. What the
package prints goes to stderr.
"""

import json
import os
import sys


def main() -> None:
    """Answer until there are no more lines."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # its neighbours are rrg's modules, which must not stand in for somebody's
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]

    def answer(said: object) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    wanted = json.loads(sys.stdin.readline())
    try:
        from radgraph import RadGraph  # type: ignore[import-not-found]
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "radgraph"
        answer({"absent" if absent else "broken": f"{type(error).__name__}: {error}"})
        return
    try:
        model = RadGraph(model_type=wanted["model_type"], cuda=wanted["cuda"])
    except Exception as error:
        answer({"broken": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for line in sys.stdin:
        reports = json.loads(line)
        try:
            found = model(reports)
            answer({"documents": [found.get(str(i)) for i in range(len(reports))]})
        except Exception as error:
            answer({"failed": f"{type(error).__name__}: {error}"})
            raise


if __name__ == "__main__":
    main()
