"""`rrg ask`: reports by a general multimodal model, as one more row of a table."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import (
    DataName,
    DataOptions,
    NoPlugins,
    PluginFiles,
    Role,
    Variants,
    find_plugins,
)
from rrgcore.cli.scoring_options import check_out
from rrgcore.errors import DataError, UserError, printable

SHOWN = 20
"""Studies without a report that are told one by one."""
CACHE = Path("~/.cache/rrg/answers.jsonl")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ask")(ask)


def ask(
    name: DataName,
    options: DataOptions = None,
    *,
    url: Annotated[
        str, typer.Option(metavar="URL", help="OpenAI's API, up to /v1: http://localhost:8000/v1")
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help="As the server calls it.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Predictions, as JSONL, for rrg score.")
    ],
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT|@FILE", help="What is asked; KIA's words unless said."),
    ] = None,
    split: Role = "test",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first N studies alone.")
    ] = None,
    largest: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=1, help="Of an image's longer side.")
    ] = None,
    key_variable: Annotated[
        str | None, typer.Option(metavar="NAME", help="The environment variable with the key.")
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="More of the request: max_tokens=400."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Asked at a time.")] = 4,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Of one answer.")] = 120.0,
    retries: Annotated[int, typer.Option(metavar="N", min=0, help="Where it is busy.")] = 6,
    cache: Annotated[Path, typer.Option(metavar="FILE", help="Where answers are kept.")] = CACHE,
    images_may_leave: Annotated[
        bool,
        typer.Option("--images-may-leave", help="Show them to a server elsewhere."),
    ] = False,
    variant: Variants = None,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Let a model behind a URL write the reports of a data set, to be scored like any other's."""
    check_out(out)
    found = find_plugins(plugin, no_plugin)
    from rrgcore.asking import LARGEST, PROMPT, Asking, about
    from rrgcore.cli.annotating_data import data_of
    from rrgcore.cli.display import Display
    from rrgcore.endpoint import Answers, Endpoint
    from rrgcore.files import write_json, write_text
    from rrgcore.watch import tracking

    data = data_of(name, options or (), variant or (), (), found)
    dataset = data.dataset()
    wanted = data.settings.splits.get(split, split)
    studies = list(dataset.studies(wanted))[: limit or data.settings.limit]
    if not studies:
        raise UserError(f"'{name}' has no study in its split {split}")
    try:
        endpoint = Endpoint(
            url=url,
            model=model,
            key_variable=key_variable,
            request=_request(request or ()),
            timeout=timeout,
            retries=retries,
            wait=1.0,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    if not endpoint.is_here and not images_may_leave:
        raise UserError(
            f"the images of {len(studies)} studies would be sent to {endpoint.where}. Where their "
            "terms allow that (those of MIMIC-CXR do not, for a service that keeps what it is "
            "sent), say --images-may-leave"
        )
    with Display() as display:
        asking = Asking(
            dataset=dataset,
            endpoint=endpoint,
            answers=Answers(cache.expanduser()),
            prompt=_prompt(prompt) if prompt is not None else PROMPT,
            largest=largest or LARGEST,
            concurrency=concurrency,
            track=tracking(display),
        )
        answered = list(asking.ask(studies))
    refused = [each for each in answered if each.error is not None]
    for each in refused[:SHOWN]:
        typer.echo(printable(f"study '{each.id}': {each.error}"), err=True)
    if len(refused) == len(answered):
        raise DataError(f"none of {len(answered)} studies has a report: nothing was written")
    rows = (
        {"id": each.id, "reference": each.reference, "prediction": each.prediction}
        | ({} if each.error is None else {"error": each.error})
        for each in answered
    )
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(out.with_suffix(".meta.json"), about(asking, name, split, len(studies)))
    typer.echo(f"{len(answered) - len(refused)} reports in {out}; next: rrg score {out}")
    if refused:
        typer.echo(f"{len(refused)} have none, and are scored as empty reports", err=True)
        raise typer.Exit(1)


def _prompt(text: str) -> str:
    if not text.startswith("@"):
        return text
    path = Path(text[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompt {text}: {path} cannot be read ({error})") from error


def _request(pairs: list[str] | tuple[()]) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"--request {pair}: expected NAME=VALUE, such as max_tokens=400")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
