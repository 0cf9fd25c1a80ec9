"""What a run knows of its studies: learned from the training split, kept, and blind where reports
are to be predicted.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast, final

from rrgcore.annotations import Annotation
from rrgcore.disk import make_folder
from rrgcore.errors import DataError, RunError
from rrgcore.files import (
    append_line,
    cut_lines,
    whole_lines,
    write_json,
    write_text,
    written_whole,
)
from rrgcore.gathering import (
    NOTHING,
    gather_annotations,
    in_order,
    list_annotations,
    needed_by,
    slug_of,
)
from rrgcore.json_text import parse_json
from rrgcore.provenance import LEARNED, Artefact, Provenance
from rrgcore.study import Study
from rrgcore.supply import Annotator, Dataset, artefacts_of, learns

T = TypeVar("T")


def alone(make: Callable[[], T]) -> T:
    """Do something where no other process wants the outcome."""
    return make()


BEGINS = '{"id": '
"""How a line of answers begins."""


@final
class Knowledge:
    """Annotators that learn from the training split alone, and what they say of any study.

    A study whose report is to be predicted is shown to them without it (`blind`), and without what
    the data knows of it, but for what was made of images alone: what a model reads at test time it
    could read of a new image. `oracle` lets them see everything, for an upper bound.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        annotators: Mapping[type, Annotator],
        training: Callable[[], Sequence[Study]],
        oracle: bool = False,
        refused: Mapping[type, str] = NOTHING,
    ) -> None:
        self.dataset = dataset
        self.annotators = annotators
        self.oracle = oracle
        self._refused = refused
        """Why annotators are not asked, by what they write."""
        self._training = training
        self._fitted: set[type] = set()
        self._folder: Path | None = None
        self._writes = False
        self._once: Callable[[Callable[[], Any]], Any] = alone

    def keep_in(self, folder: Path, *, writes: bool) -> None:
        """Load what was learned from a run's folder of artefacts. What is not there is learned and
        saved by whoever `writes`; others get a RunError.
        """
        self._folder, self._writes = folder, writes

    def ask(self, once: Callable[[Callable[[], Any]], Any]) -> None:
        """Have annotators whose answers are kept asked by one of several processes: `once` does
        something there, and gives its outcome or its failure to all. All have to come to it.
        """
        self._once = once

    def learn(self, kinds: Iterable[type]) -> None:
        """Let the annotators of these kinds learn, after those whose work they read."""
        for kind in in_order(kinds, self.annotators):
            annotator = self.annotators.get(kind)
            if annotator is not None and learns(annotator) and kind not in self._fitted:
                self._learn(kind, annotator)
                self._fitted.add(kind)

    def _learn(self, kind: type, annotator: Annotator) -> None:
        folder = self._folder and self._folder / slug_of(kind)
        if folder is not None and (folder / LEARNED).is_file():
            annotator.load(folder)
            return
        if folder is not None and not self._writes:
            raise RunError(
                f"{folder} does not hold what {type(annotator).__name__} learned, which makes "
                f"{slug_of(kind)}: the run folder is not whole. Bring back its {folder.parent.name}"
            )
        studies = self.open("train", self._training(), annotator.reads)
        annotator.fit(studies)
        if folder is not None and self._writes:
            with written_whole(folder) as unfinished:
                annotator.save(unfinished)
                # what it was given had learned from something too
                learned = Provenance.of(studies).joined(learned_elsewhere([annotator]))
                facts = {"by": annotator.fingerprint(), **learned.to_json()}
                write_json(unfinished / LEARNED, facts)

    def open(
        self,
        role: str,
        studies: Sequence[Study],
        kinds: Sequence[type],
        *,
        make: bool = True,
        advice: Mapping[type, str] = NOTHING,
    ) -> list[Study]:
        """Return whole studies with annotations of these kinds; raises DataError for one that lacks
        any. Unless `make`, annotators are not asked.
        """
        if make:
            self.learn(kinds)
        return gather_annotations(
            self.dataset,
            studies,
            kinds,
            self.annotators,
            make=make,
            advice=advice,
            annotate=partial(self._annotate, role),
        )

    def blind(
        self,
        role: str,
        studies: Sequence[Study],
        kinds: Sequence[type],
        *,
        make: bool = True,
        advice: Mapping[type, str] = NOTHING,
    ) -> list[Study]:
        """Return the studies with annotations of these kinds as they would be of images alone.

        Raises DataError for a kind that only reports can tell.
        """
        if self.oracle:
            return self.open(role, studies, kinds, make=make, advice=advice)
        for kind in kinds:
            if (reason := self.only_from_reports(kind)) is not None:
                raise DataError(reason)
        self._check_data_unseen(kinds, studies)
        if make:
            self.learn(kinds)
        known = gather_annotations(
            self.dataset,
            [self._without_report(study) for study in studies],
            kinds,
            self.annotators,
            make=make,
            advice=advice,
            annotate=partial(self._annotate, f"{role}-blind"),
        )
        made = [kind for kind in kinds if make or kind not in self.annotators]
        return [
            study.annotated({kind: shown[kind] for kind in made})
            for study, shown in zip(studies, known, strict=True)
        ]

    def only_from_reports(self, kind: type) -> str | None:
        """Say why annotations of a kind are no use where reports are to be predicted, or None."""
        found = self.told_by_reports(kind)
        if found is None:
            return None
        slug = slug_of(found)
        if found not in self.annotators:
            return (
                f"the data's {slug} were made of the reports, as far as it says, and reports are "
                f"what is to be predicted.\nName an annotator that looks at the images: "
                f"data.annotations.{slug}. To give the model the truth, as an upper bound: "
                "data.oracle=true"
            )
        return (
            f"the {slug} come from {type(self.annotators[found]).__name__}, which tells what the "
            "report says, and the report is what is to be predicted.\nName an annotator that looks "
            f"at the images: data.annotations.{slug}. To give the model the truth, as an upper "
            "bound: data.oracle=true"
        )

    def told_by_reports(self, kind: type) -> type | None:
        """Return the first of a kind and what it builds on that only reports can tell, or None."""
        for needed in needed_by([kind], self.annotators):
            annotator = self.annotators.get(needed)
            if annotator is None and not self.dataset.knows_from_images(needed):
                return needed
            if annotator is not None and annotator.from_report:
                return needed
        return None

    def _check_data_unseen(self, kinds: Iterable[type], studies: Sequence[Study]) -> None:
        """Refuse the data's annotations by a model that learned from these very studies."""
        for kind in needed_by(kinds, self.annotators):
            learned = None if kind in self.annotators else self.dataset.learned_from(kind)
            if learned is not None:
                artefact = Artefact(f"what made the data's {slug_of(kind)}", learned)
                if (text := leak(artefact, studies)) is not None:
                    raise DataError(text)

    def _without_report(self, study: Study) -> Study:
        allowed = {
            kind: value
            for kind, value in study.annotations.items()
            if kind not in self.annotators and self.dataset.knows_from_images(kind)
        }
        return replace(study, report=None, annotations=allowed)

    def _annotate(self, role: str, annotator: Annotator, studies: Sequence[Study]) -> list[Any]:
        """Ask an annotator, or read what it answered when the run was here before.

        Of several processes one asks and writes, and the others read it then; what is not written
        they are sent. What costs nothing to make again each makes for itself.
        """
        if self._folder is None or not annotator.kept:
            return self._ask(annotator, studies)
        kind = cast(type[Annotation], annotator.writes)
        path = self._folder / slug_of(kind) / f"{role}.jsonl"
        here: list[list[Any]] = []

        def asked() -> list[Any] | None:
            """Return what nobody can read."""
            made = _read(path, kind, studies)
            written = made is not None
            if made is None and self._writes and annotator.one_by_one:
                made = self._ask_one_by_one(path, annotator, studies)
                written = path.is_file()
            elif made is None:
                made = self._ask(annotator, studies)
                if self._writes and len(made) == len(studies) and None not in made:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_text(path, "".join(map(_line, studies, made)))
                    written = True
            here.append(made)
            return None if written else made

        sent = self._once(asked)
        if here:
            return here[0]
        found = _read(path, kind, studies) if sent is None else sent
        if found is None:
            raise RunError(
                f"{path} was written by the main process and is not seen by this one: the run "
                "folder must be on a file system that all machines share"
            )
        return cast(list[Any], found)

    def _ask(self, annotator: Annotator, studies: Sequence[Study]) -> list[Any]:
        if studies and (why := self._refused.get(annotator.writes)) is not None:
            raise RunError(why)
        return list_annotations(annotator, studies)

    def _ask_one_by_one(
        self, path: Path, annotator: Annotator, studies: Sequence[Study]
    ) -> list[Any]:
        """Ask, and write each answer down as it comes: who was stopped goes on behind the last."""
        kind = cast(type[Annotation], annotator.writes)
        made = _begun(path, kind, studies)
        make_folder(path.parent)
        cut_lines(path, len(made))
        for study in studies[len(made) :]:
            (value,) = self._ask(annotator, [study])
            if value is None:  # it is not asked for, and what is kept is whole or not at all
                path.unlink(missing_ok=True)
                return [*made, None, *self._ask(annotator, studies[len(made) + 1 :])]
            append_line(path, _line(study, value).rstrip("\n"))
            made.append(value)
        return made


def find_leaks(
    components: Iterable[tuple[str, object]], held_out: Sequence[Study]
) -> Iterator[tuple[str, str]]:
    """Find artefacts that were learned from studies which are to be predicted, or do not say from
    which: the address of who holds one, and what is wrong.
    """
    for address, component in components:
        for artefact in artefacts_of(component):
            if (text := leak(artefact, held_out)) is not None:
                yield address, text


def learned_elsewhere(components: Iterable[object]) -> Iterator[Provenance]:
    """Return what the artefacts that components were given had learned from, where they say."""
    for artefact in artefacts_of(*components):
        if artefact.learned_from is not None:
            yield artefact.learned_from


def leak(artefact: Artefact, held_out: Sequence[Study]) -> str | None:
    """Say what is wrong with an artefact where these studies are to be predicted, or None."""
    learned = artefact.learned_from
    if learned is None:
        if artefact.trusted:
            return None
        return (
            f"{artefact.name} does not say which studies it was learned from, so that nobody knows "
            "whether it saw the reports that are to be predicted. If you know that it did not, say "
            "`trusted: true`"
        )
    seen = learned.seen(held_out)
    if not seen:
        return None
    others = f" and {len(seen) - 1:,} more" if len(seen) > 1 else ""
    return (
        f"{artefact.name} was learned from '{seen[0]}'{others} of the studies that are to be "
        "predicted. Learn it again, from training studies alone"
    )


def _line(study: Study, value: Annotation) -> str:
    entry = {"id": study.id, "value": value.to_json()}
    return json.dumps({**entry, "sum": _sum(entry)}, ensure_ascii=False) + "\n"


def _read(path: Path, kind: Any, studies: Sequence[Study]) -> list[Any] | None:
    """Return what was said of these studies, or None where that was of others, or of nobody."""
    answers = _answers(path) if path.is_file() else {}
    if list(answers) != [study.id for study in studies]:
        return None
    return [kind.from_json(value) for value in answers.values()]


def _begun(path: Path, kind: Any, studies: Sequence[Study]) -> list[Any]:
    """Return what was said of the first of these studies before somebody stopped it."""
    found: list[Any] = []
    for study, line in zip(studies, whole_lines(path), strict=False):
        try:
            entry = _entry(line)
            if entry["id"] != study.id:
                break
            found.append(kind.from_json(entry["value"]))
        except (ValueError, TypeError, KeyError, AttributeError, DataError):
            break
    return found


def _answers(path: Path) -> dict[str, Any]:
    """Read what was said of each study; raises RunError for a line that is not as it was written,
    since manifests of checkpoints, which may be older, say nothing of this file.
    """
    found: dict[str, Any] = {}
    try:
        # not splitlines(), which also cuts at characters that JSON leaves in a string; what has no
        # end was being written when somebody stopped it
        *lines, torn = path.read_text(encoding="utf-8").split("\n")
        if torn[: len(BEGINS)] != BEGINS[: len(torn)]:
            raise ValueError("its last line is none of its own")
        for line in lines:
            entry = _entry(line)
            found[entry["id"]] = entry["value"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged ({error}): remove it, and its annotator is asked again"
        ) from error
    return found


def _entry(line: str) -> dict[str, Any]:
    """Read one answer; raises ValueError and the like for one that is not as it was written."""
    entry: dict[str, Any] = parse_json(line)
    if entry.pop("sum") != _sum(entry):
        raise ValueError(f"'{entry['id']}' has another value than was written")
    return entry


def _sum(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=False, sort_keys=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()
