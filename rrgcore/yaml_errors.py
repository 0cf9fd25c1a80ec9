"""PyYAML's syntax errors in a user's words."""

import yaml
from yaml.reader import ReaderError

from rrgcore.errors import shortened


def explain(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line, counted from 0, at which reading stopped, and what is wrong there."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position)
        return line, f"the character {chr(error.character)!r} is not allowed in YAML"
    assert isinstance(error, yaml.MarkedYAMLError), "PyYAML's other errors carry a mark"
    assert error.problem_mark is not None, "PyYAML says where it stopped"
    line = error.problem_mark.line
    began = error.context_mark.line if error.context_mark is not None else line
    since = f" (it begins in line {began + 1})" if began != line else ""
    stopped = shortened("".join(text.splitlines()[line : line + 1]).strip())
    return line, _in_words(error.problem or "", error.context or "", stopped, since)


def _in_words(problem: str, context: str, stopped: str, since: str) -> str:
    if "'\\t'" in problem:
        return "found a tab: YAML is indented with spaces"
    if "cannot start any token" in problem:
        return f"{problem.replace('start any token', 'begin a value')}: put the value in quotes"
    if "mapping values are not allowed" in problem:
        return (
            f"found a ':' that does not fit in: {stopped}\n"
            "Put a value that holds ': ' in quotes, or mend the indentation"
        )
    if "could not find expected ':'" in problem:
        return f"expected 'key: value', which what stands before this is not{since}"
    if "quoted scalar" in context and "end of stream" in problem:
        return f"a quotation mark is never closed{since}"
    if "<document start>" in problem:
        return f"there is more here than one value: {stopped}"
    if "<block end>" in problem and not problem.endswith(("'}'", "']'")):
        return f"the indentation does not fit the block around it{since}: {stopped}"
    for theirs, ours in (
        ("'<stream end>'", "the end"),
        ("<block end>", "the next key"),
        ("the node content", "a value"),
    ):
        problem = problem.replace(theirs, ours)
    hint = "\nPut a value with ${…} in quotes where it stands inside { }" if "${" in stopped else ""
    return f"{problem}{f', {context}' if context else ''}{since}{hint}"
