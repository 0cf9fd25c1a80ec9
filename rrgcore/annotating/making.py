"""Learning from the training split, annotating, and putting all of it where it belongs."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rrgcore import __version__
from rrgcore.annotating.order import Annotated, AnnotationOrder, sidecar_path
from rrgcore.annotating.tally import Tally
from rrgcore.annotating.work import LEARNT, LINES, kept_work, lines_there
from rrgcore.annotations import Annotation
from rrgcore.disk import put_in_place
from rrgcore.errors import DataError, UserError
from rrgcore.files import append_line, read_json, written_whole
from rrgcore.gathering import NOTHING, needed_by, slug_of
from rrgcore.knowledge import Knowledge, find_leaks
from rrgcore.layout import check_free
from rrgcore.provenance import LEARNED, Provenance
from rrgcore.sidecar import SidecarRecord, record_path
from rrgcore.study import Study
from rrgcore.supply import Annotator, Dataset, Track, Workbench, learns, untracked


def annotate_dataset(
    dataset: Dataset,
    annotator: Annotator,
    order: AnnotationOrder,
    *,
    others: Mapping[type, Annotator] = NOTHING,
    seed: int = 0,
    device: str = "cpu",
    track: Track = untracked,
) -> Annotated:
    """Let an annotator learn from the training split, and annotate the splits that are wanted.

    What it reads comes from `others`, else from the data. The file of annotations appears whole or
    not at all, with `<slug>.meta.json` beside it; until then the work is in a folder beside it,
    where the same order goes on after it was stopped. Raises UserError for what cannot be, and
    DataError for studies that lack what is read.
    """
    kind = cast(type[Annotation], annotator.writes)
    known: dict[type, Annotator] = {**others, kind: annotator}
    known = {needed: known[needed] for needed in needed_by([kind], known) if needed in known}
    knowledge = Knowledge(
        dataset=dataset, annotators=known, training=lambda: _training(dataset, order)
    )
    sidecar = sidecar_path(dataset, kind, order)
    _refuse(dataset, annotator, order, knowledge, sidecar)
    studies = _studies(dataset, order)
    if sidecar is not None and not studies:
        asked = ", ".join(order.splits[role] for role in order.wanted)
        raise DataError(f"the data has no studies in {asked}: there is nothing to annotate")
    for each in known.values():
        each.equip(Workbench(dataset.open, seed, device, track))
    identity = _identity(dataset, studies, order, known)
    target = cast(Path, order.save) if sidecar is None else sidecar
    with kept_work(target, identity, anew=order.force) as work:
        knowledge.keep_in(work / LEARNT, writes=True)
        knowledge.learn([kind])
        learned_from = _learned_from(work / LEARNT)
        tally, resumed = Tally(), 0
        if sidecar is not None:
            every = [study for study, _ in studies.values()]
            resumed = _write_lines(work / LINES, knowledge, annotator, every, order, tally, track)
        counts: dict[str, int] = dict.fromkeys(order.wanted, 0)
        for _, role in studies.values():
            counts[role] += 1
        if order.save is not None:
            with written_whole(order.save.resolve()) as folder:
                shutil.copytree(work / LEARNT / slug_of(kind), folder, dirs_exist_ok=True)
        if sidecar is not None:
            record_path(sidecar).unlink(missing_ok=True)  # which may say too much of the new file
            put_in_place(work / LINES, sidecar)
            SidecarRecord(
                annotator=order.annotator,
                options=order.options,
                fingerprint=annotator.fingerprint(),
                built_on={
                    slug_of(k): each.fingerprint() for k, each in known.items() if k is not kind
                },
                origin="images" if order.blind else "reports",
                studies=counts,
                learned_from=learned_from,
            ).write(sidecar)
        shutil.rmtree(work)
    return Annotated(
        slug=kind.slug,
        sidecar=sidecar,
        studies=counts if sidecar is not None else {},
        resumed=resumed,
        empty=tally.empty,
        counts=tally.table(),
        fingerprint=annotator.fingerprint(),
        from_report=knowledge.told_by_reports(kind) is not None,
        saved=order.save,
        learned_from=learned_from,
        summary=annotator.summary(),
    )


# ---- what cannot be -------------------------------------------------------------------------


def _refuse(
    dataset: Dataset,
    annotator: Annotator,
    order: AnnotationOrder,
    knowledge: Knowledge,
    sidecar: Path | None,
) -> None:
    name = order.annotator
    if order.save is not None and not learns(annotator):
        raise UserError(f"'{name}' learns nothing, so that there is nothing to save: drop --save")
    if sidecar is not None and sidecar.is_dir():
        raise UserError(f"{sidecar} is a folder; name a file, or the folder that it is to be in")
    if sidecar is not None and sidecar.exists() and not order.force:
        raise UserError(f"{sidecar} is there already; to write over it: --force")
    if order.save is not None:
        saved_before = (order.save / LEARNED).is_file()
        if saved_before and not order.force:
            raise UserError(
                f"{order.save} holds what was learned before; to write over it: --force"
            )
        if not saved_before:
            check_free(order.save)
    if order.blind:
        withheld = knowledge.told_by_reports(annotator.writes)
        if withheld is not None:
            raise UserError(f"--blind withholds reports, and {_withheld(withheld, knowledge)}")
    held_out = [
        study
        for role, split in order.splits.items()
        if role != "train"
        for study in dataset.studies(split)[: order.limit]
    ]
    for _, text in find_leaks([(name, each) for each in knowledge.annotators.values()], held_out):
        raise DataError(text)


def _withheld(kind: type, knowledge: Knowledge) -> str:
    """Say why --blind leaves nobody to make a kind that only reports can tell."""
    slug = slug_of(kind)
    if kind in knowledge.annotators:
        who = type(knowledge.annotators[kind]).__name__
        return f"{who}, which makes {slug}, tells what a study's own report says"
    return (
        f"the data has no {slug}, which are needed, that are known to be made of images alone. "
        f"Make them first, with --blind too, or name who does: annotations.{slug}=…"
    )


# ---- studies --------------------------------------------------------------------------------


def _studies(dataset: Dataset, order: AnnotationOrder) -> dict[str, tuple[Study, str]]:
    """Return the studies to annotate by id, each once, with the role that it plays first."""
    found: dict[str, tuple[Study, str]] = {}
    for role in order.wanted:
        for study in dataset.studies(order.splits[role])[: order.limit]:
            found.setdefault(study.id, (study, role))
    return found


def _training(dataset: Dataset, order: AnnotationOrder) -> Sequence[Study]:
    split = order.splits["train"]
    studies = dataset.studies(split)[: order.limit]
    if not studies:
        raise DataError(
            f"the data has no studies in its split '{split}', which '{order.annotator}' "
            "is to learn from"
        )
    return studies


def _write_lines(
    path: Path,
    knowledge: Knowledge,
    annotator: Annotator,
    studies: Sequence[Study],
    order: AnnotationOrder,
    tally: Tally,
    track: Track,
) -> int:
    """Annotate those that have no line yet; return how many had one."""
    kind = cast(type[Annotation], annotator.writes)
    done = lines_there(path, [study.id for study in studies])
    for value in done:
        tally.add(kind.from_json(value))
    if order.blind:
        shown = [
            replace(study, report=None, annotations={k: study[k] for k in annotator.reads})
            for study in knowledge.blind("annotate", studies, annotator.reads)
        ]
    else:
        shown = knowledge.open("annotate", studies, annotator.reads)
    rest = shown[len(done) :]
    made = track(annotator.annotate(rest), f"annotating: {order.annotator}", len(rest))
    path.touch()
    for study, value in zip(rest, made, strict=True):
        tally.add(value)
        line = {"id": study.id, "value": value.to_json()}
        # at once: what is stopped goes on after the last line
        append_line(path, json.dumps(line, ensure_ascii=False))
    return len(done)


def _identity(
    dataset: Dataset,
    studies: Mapping[str, tuple[Study, str]],
    order: AnnotationOrder,
    known: Mapping[type, Annotator],
) -> dict[str, Any]:
    """Return what must be the same for work to go on, as JSON gives it back."""
    facts = {
        "annotator": order.annotator,
        "options": order.options,
        "annotators": {
            slug_of(kind): type(each).__name__ if learns(each) else each.fingerprint()
            for kind, each in known.items()
        },
        "data": dataset.fingerprint(),
        "splits": order.splits,
        "wanted": list(order.wanted),
        "limit": order.limit,
        "blind": order.blind,
        "studies": Provenance.of(study for study, _ in studies.values()).hash,
        "rrg": __version__,
    }
    return dict(json.loads(json.dumps(facts, default=str)))


def _learned_from(folder: Path) -> Provenance | None:
    """Read what anything here was learned from: all of it from the same training studies."""
    for path in sorted(folder.glob(f"*/{LEARNED}")):
        return Provenance.from_json(read_json(path))
    return None
