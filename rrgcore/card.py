"""A run's card: what was trained on what, how good it is, what it is for, and what it is not for.

One page of Markdown, the same headings in the same order for every run. It quotes no report.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from rrgcore.checkpoint import MODEL, LeftOut, left_out_of
from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError
from rrgcore.files import read_json, write_text
from rrgcore.folder import RECIPE, SCORES, RunFolder
from rrgcore.licences import UNKNOWN, Named, licence_of, named_weights, terms_of_ids
from rrgcore.plan import Plan
from rrgcore.portable import Portable
from rrgcore.resolve import resolved
from rrgcore.scoring.significance import shown_figure

CARD: Final = "card.md"
NOT_STATED: Final = (
    "not stated: look them up where the data came from, and say them in the recipe (`data.terms`)"
)
USE: Final = """\
For research on the automatic drafting of radiology reports: to compare methods, to study what a \
model reads in an image and in its reports, and to build on.

Not for patients. Nobody has approved it as a medical device, no radiologist has seen what it \
writes, and no decision about anybody's care may rest on it. It writes one report for any image, \
also for one that is no chest radiograph; what it leaves out is not thereby absent, and what it \
states with confidence may not be there. Scores are of the test split named above: another \
hospital, scanner, population or way of reporting gives others."""


def write_card(folder: RunFolder, plan: Plan) -> Path:
    """Write a run's card into its folder."""
    path = folder.path / CARD
    write_text(path, make_card(folder, plan, Portable()))
    return path


def make_card(folder: RunFolder, plan: Plan, portable: Portable) -> str:
    """Return a run's card, without paths of this machine."""
    portable.recipe(plan.recipe.values)  # its paths are known by then, whatever is in them
    record = folder.record
    title = " ".join([record["recipe"], *(f"--variant {name}" for name in record["variants"])])
    scores = read_json(folder.path / SCORES) if (folder.path / SCORES).is_file() else None
    lines = [f"# {title}", "", *_about(plan, record, scores)]
    for heading, section in (
        ("Data", _data(folder, plan, record)),
        ("Weights", _weights(folder, plan, portable)),
        ("Scores", _scores(scores)),
        ("What was checked", _checked(scores)),
        ("Intended use", iter([USE])),
        ("To reproduce it", _reproduce(record, portable)),
        ("Provenance", _provenance(folder, record, portable)),
    ):
        lines += ["", f"## {heading}", "", *section]
    return "\n".join(lines) + "\n"


# ---- sections -------------------------------------------------------------------------------


def _about(
    plan: Plan, record: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> Iterator[str]:
    if about := plan.recipe.values.get("about"):
        yield f"The recipe that it began from says: {' '.join(str(about).split())}"
        yield ""
    if scores is None:
        yield f"**This run is not finished** (it is {record['state']}): nothing was tested."
        yield ""
    trained = sum(part["trainable"] for part in record.get("parameters", {}).values())
    parts = [f"{slot} `{getattr(plan, slot).name}`" for slot in ("encoder", "adapter", "decoder")]
    tasks = ", ".join(f"`{name}`" for name in plan.objectives)
    yield f"Model: {', '.join(parts)}; {trained:,} parameters trained; objectives {tasks}."
    for caution in plan.cautions:
        yield f"\n**{caution}**"


def _data(folder: RunFolder, plan: Plan, record: Mapping[str, Any]) -> Iterator[str]:
    counts = record.get("studies", {})
    sizes = ", ".join(f"{count:,} {role}" for role, count in counts.items()) or "not recorded"
    terms = (
        plan.data.terms
        or cast(Any, plan.dataset.cls).terms
        or terms_of_ids(_ids(folder))
        or NOT_STATED
    )
    yield f"- Data set: `{plan.dataset.name}`"
    yield f"- Studies: {sizes}"
    size, tokens = plan.data.image_size, plan.data.max_report_tokens
    yield f"- Images: {size} pixels; reports are cut for training at {tokens} tokens"
    if plan.annotators:
        who = (f"{_slug(kind)} by `{block.name}`" for kind, block in plan.annotators.items())
        yield f"- Annotations: {', '.join(who)}"
    yield f"- Licence and terms: {' '.join(terms.split())}"


def _weights(folder: RunFolder, plan: Plan, portable: Portable) -> Iterator[str]:
    held = {each.weights: each for each in needed_weights(folder)}
    named = list(weights_of(plan))
    if not named:
        yield "None: every value was learned from the data above."
        return
    yield "| weights | of | licence | |"
    yield "| --- | --- | --- | --- |"
    for each in named:
        needed = held.get(each.name)
        where = (
            f"not in the checkpoint: needed beside it, fingerprint `{needed.fingerprint[:12]}`"
            if needed
            else "where it began; the checkpoint holds what became of it"
        )
        name = portable.shown(each.name)
        yield f"| `{name}` | `{each.address}` | {licence_of(each.name)} | {where} |"
    if any(licence_of(each.name) == UNKNOWN for each in named):
        yield "\nA licence that is unknown here may still forbid what you intend."


def _scores(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "None: the run is not finished."
        return
    yield (
        f"On the {found['split']} split: {found['studies']:,} studies, {found['references']:,} of "
        "them with a report to compare with. Intervals are 95 %, by bootstrap over studies; to "
        "their right are baselines that see no image, or copy."
    )
    for protocol, values in found["protocols"].items():
        shown = [key for key in found["headline"][protocol] if key in values]
        if not shown:
            continue
        systems = list(found["baselines"])
        yield ""
        yield _row([protocol, "this run", "95 %", *systems])
        yield _row(["---", *["---:"] * (len(systems) + 2)])
        for key in shown:
            interval = found["intervals"].get(protocol, {}).get(key)
            between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "–"
            others = [
                shown_figure(scores.get(protocol, {}).get(key))
                for scores in found["baselines"].values()
            ]
            yield _row([key, f"{values[key]:.4f}", between, *others])
        yield ""
        yield f"How: {found['fingerprint'][protocol]}"
    for what, why in found["missing"].items():
        yield f"\nNot computed: {what} ({why})"


def _checked(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "Nothing yet."
        return
    exchanged = found.get("shuffled images") or {}
    compared = [
        (f"{protocol} {key}", found["protocols"][protocol][key], values[key])
        for protocol, values in exchanged.items()
        for key in found["headline"].get(protocol, ())[-1:]
        if key in values and key in found["protocols"].get(protocol, {})
    ]
    if compared:
        figures = "; ".join(
            f"{name} {other:.3f} in place of {own:.3f}" for name, own, other in compared
        )
        yield f"- **Is the image used?** With the images exchanged among the studies: {figures}"
    else:
        yield "- **Is the image used?** Not measured (`evaluation.probes` is off)."
    for name, probe in found["probes"].items():
        figures = ", ".join(f"{k} {shown_figure(v)}" for k, v in probe.items() if k != "stage")
        yield f"- `{name}` (best of stage {probe['stage']}): {figures}"
    leakage = found["leakage"]
    if leakage.get("verbatim") is not None:
        yield f"- References that are, word for word, a training report: {leakage['verbatim']:.1%}"
    most, empty = leakage["most_frequent_share"], leakage["empty"]
    yield (
        f"- Distinct reports written: {leakage['distinct']:.1%}; {most:.1%} are one and the same; "
        f"{empty:.1%} are empty"
    )


def _reproduce(record: Mapping[str, Any], portable: Portable) -> Iterator[str]:
    words = ["rrg", "run", record["recipe"]]
    words += [word for name in record["variants"] for word in ("--variant", name)]
    words += [f"'{portable.text(override)}'" for override in record["overrides"]]
    yield "With rrg and the packages below, in the run folder:"
    yield f"\n    rrg run {RECIPE}\n"
    yield (
        f"It was begun as `{' '.join(words)}`, seed {record.get('seed', 0)}. The same seed gives "
        "the same numbers on the same machine with the same versions."
    )


def _provenance(folder: RunFolder, record: Mapping[str, Any], portable: Portable) -> Iterator[str]:
    versions = {"Python": record.get("python"), **(record.get("packages") or {})}
    yield f"- Begun: {record.get('started', 'not recorded')}, on {record.get('device', '?')}"
    yield f"- Commit of rrg: {record.get('commit') or 'not from a checkout'}"
    yield f"- Versions: {', '.join(f'{name} {v}' for name, v in versions.items() if v)}"
    plugins = record.get("plugins") or {}
    yield f"- Plugins: {', '.join(f'{n} ({portable.text(str(p))})' for n, p in plugins.items())}"
    yield f"- Data: `{portable.text(json.dumps(record.get('data', {}), ensure_ascii=False))}`"
    if best := record.get("best"):
        score = f", validation score {best['score']:.4f}" if best.get("score") is not None else ""
        yield f"- Checkpoint: best of stage {best['stage']}{score}"
    if (learned := folder.training) is not None:
        yield f"- Trained on {len(learned.ids):,} studies, hash `{learned.hash}`"
    for path in (folder.path / RECIPE, folder.best / MODEL):
        if path.is_file():
            yield f"- SHA-256 of `{path.relative_to(folder.path).as_posix()}`: `{_digest(path)}`"


# ---- what they are made of ------------------------------------------------------------------


def weights_of(plan: Plan) -> Iterator[Named]:
    """List the published weights that a plan's components name, each address once."""
    yield from named_weights(resolved(plan), "weights")


def needed_weights(folder: RunFolder) -> Sequence[LeftOut]:
    """List the weights that the best checkpoint names instead of holding them."""
    return left_out_of(folder.best) if (folder.best / MODEL).is_file() else []


def _ids(folder: RunFolder) -> list[str]:
    return [each["id"] for each in folder.predictions()] if folder.has_predictions() else []


def _slug(kind: type) -> str:
    return str(cast(Any, kind).slug)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _digest(path: Path) -> str:
    try:
        return digest_of_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error
