"""An ablation in a file: the rows of a paper's table, named once."""

from pathlib import Path
from typing import Annotated, Any, Literal, final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rrgcore.errors import Problem, RecipeError, UserError, did_you_mean
from rrgcore.installed import ABLATIONS, list_ablations
from rrgcore.yaml_loader import Node, plain, read_yaml, shown

KEY = "ablate"
ROWS = "rows"
"""What tells such a file from a recipe."""
SUCH_AS = "expected label: variants, such as `KIA: full` or `both: without_mim+without_mlm`"


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


@final
class AblationTable(BaseModel):
    """What `rrg ablate` is told by a file; the command line goes before it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ablate: str
    """The recipe: an installed one, or a file beside this one."""
    rows: dict[str, str] = Field(min_length=1)
    """Label to variants, `a+b`; `full` for the recipe as it stands."""
    about: str = ""
    base: str = "full"
    seeds: Annotated[str, BeforeValidator(_number_as_text)] | None = None
    """How many, from 0, or which, `0,1,5`."""
    reference: str | None = None
    delta: Literal["cmeaa", "kia", "none"] | None = None
    metrics: list[str] | None = None


def find_table(name: str) -> Path | None:
    """Return the file of a table, by path or by name, with or without `ablations/`; None for what
    is a recipe, or nothing that is known here.
    """
    path, known = Path(name).expanduser(), list_ablations()
    key = name.removesuffix(".yaml")
    if path.is_file():
        node, _ = read_yaml(_text(path), file=name)
        return path if node is not None and node.mapping.keys() & {KEY, ROWS} else None
    return known.get(key) or known.get(f"{ABLATIONS}{key}")


def read_table(path: Path) -> AblationTable:
    """Read a table; raises RecipeError with everything that is wrong with it."""
    node, problems = read_yaml(_text(path), file=str(path))
    if node is None or problems:
        raise RecipeError(str(path), problems)
    try:
        table = AblationTable.model_validate(plain(node))
    except ValidationError as error:
        raise RecipeError(str(path), [_problem(each, node, path) for each in error.errors()]) from (
            error
        )
    beside = path.parent / table.ablate
    return table.model_copy(update={"ablate": str(beside)}) if beside.is_file() else table


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _problem(error: Any, node: Node, path: Path) -> Problem:
    """Say what pydantic found in the words of recipes, with the line."""
    where, here = [str(word) for word in error["loc"]], node
    for word in where:
        here = here.mapping.get(word, here)
    found = shown(plain(here))
    if where[0] == ROWS:
        text = "is needed: " if error["type"] == "missing" else f"is {found}: "
        return Problem(".".join(where), f"{text}{SUCH_AS}", here.origin.line, str(path))
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = list(AblationTable.model_fields)
        text = f"is no key of a table.{did_you_mean(where[-1], known)} Keys: {', '.join(known)}"
    elif error["type"] == "missing":
        text = "is needed: the recipe that the rows are variants of, such as kia_graph"
    elif error["type"] != "literal_error":
        text = f"{text}, got {found}"
    return Problem(".".join(where), text, here.origin.line, str(path))
