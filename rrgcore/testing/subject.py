"""The component under test: found, built from small arguments, and refused in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar, final

import numpy as np
import torch

from rrgcore.errors import RegistryError, did_you_mean
from rrgcore.features import Parts
from rrgcore.interfaces import Decoder, Lacks, Prepares, TextMasking, check_capability
from rrgcore.registry import Registry
from rrgcore.signatures import Option, check_value, has_option, options_of
from rrgcore.study import Study
from rrgcore.testing.fake_networks import make_parts
from rrgcore.testing.samples import make_batch, make_rngs, make_tokenizer
from rrgcore.testing.surroundings import SIZES, Surroundings
from rrgcore.types import Batch

R = TypeVar("R")


@final
@dataclass(frozen=True)
class Subject:
    """A component, what it is built from and tried beside."""

    kind: str
    name: str
    cls: type
    options: Mapping[str, Any]
    registry: Registry = field(repr=False)
    studies: Sequence[Study] = field(repr=False)
    surroundings: Surroundings = field(repr=False)

    @classmethod
    def find(
        cls,
        kind: str,
        name: str,
        options: Mapping[str, Any],
        registry: Registry,
        studies: Sequence[Study],
        parts: Parts | None,
    ) -> "Subject":
        """Look a component up and set the fakes around it."""
        component = registry.get(kind, name)
        if parts is None:
            asked = list(_classes(kind, name, options, registry))
            tokenizer = make_tokenizer(
                studies,
                special=[token for c in asked for token in getattr(c, "special_tokens", ())],
                words=[w for c in asked if issubclass(c, (TextMasking, Decoder)) for w in c.words],
            )
            sizes = {key: value for key, value in options.items() if key in SIZES}
            parts = make_parts(tokenizer=tokenizer, **sizes)
        surroundings = Surroundings(kind, options, parts)
        return cls(kind, name, component, options, registry, studies, surroundings)

    @property
    def parts(self) -> Parts:
        """The model's parts beside it."""
        return self.surroundings.parts

    # ---- saying what is wrong ---------------------------------------------------------------

    def refuse(self, sentence: str) -> NoReturn:
        """Fail the check."""
        __tracebackhide__ = True  # pytest then shows the check that failed
        raise AssertionError(f"{self.kind} '{self.name}': {sentence}")

    def expect(self, holds: bool, sentence: str) -> None:
        """Fail the check unless something holds."""
        __tracebackhide__ = True
        if not holds:
            self.refuse(sentence)

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Name the component and what was tried in whatever is raised; the cause is kept."""
        try:
            yield
        except Exception as error:
            missing = error.args[0] if isinstance(error, KeyError) and error.args else None
            if isinstance(missing, type):
                asks = getattr(self.cls, "annotations_read", None)
                way = f"write `reads = ({missing.__name__},)`"
                if asks not in (None, Prepares.annotations_read):  # then nobody asks for `reads`
                    way = "add it in annotations_read()"
                self.refuse_from(
                    error,
                    f"{what} looks up the annotation {missing.__name__}, which is not declared; "
                    f"{way}",
                )
            self.refuse_from(error, f"{what} failed: {type(error).__name__}: {error}")

    def refuse_from(self, error: Exception, sentence: str) -> NoReturn:
        """Fail the check, chained to its cause."""
        __tracebackhide__ = True
        raise AssertionError(f"{self.kind} '{self.name}': {sentence}") from error

    @contextmanager
    def keeping_global_randomness(self, what: str) -> Iterator[None]:
        """Refuse draws from anything but the generators that were given."""
        torch_before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=True)
        yield
        numpy_after = np.random.get_state(legacy=True)
        same_numpy = all(
            np.array_equal(np.asarray(a), np.asarray(b))
            for a, b in zip(numpy_before, numpy_after, strict=True)
        )
        self.expect(
            same_numpy and torch.equal(torch_before, torch.get_rng_state()),
            f"{what} draws from the global random state of "
            f"{'torch' if same_numpy else 'numpy'}; draw from the generator that it is given, "
            "else a run cannot be repeated",
        )

    def can(self, component: object, capability: type) -> bool:
        """Whether the instance, as it was built, has a capability."""
        try:
            check_capability(component, capability)
        except Lacks:
            return False
        return True

    def lacks_some(self, component: object, *capabilities: type) -> bool:
        """Whether an option switched off one of the capabilities that its class has."""
        return any(isinstance(component, c) and not self.can(component, c) for c in capabilities)

    # ---- building ---------------------------------------------------------------------------

    def build(self, *, seed: int = 0) -> Any:
        """Build the component; nested ones are fakes unless the options name them."""
        torch.manual_seed(seed)
        return self._build(self.kind, self.name, self.cls, self.options)

    def nested(self, component: Any, kind: type[R]) -> list[R]:
        """Return the nested components of a class, by the options that hold them."""
        found = [
            value
            for name, option in options_of(self.cls).items()
            if option.component and isinstance(value := getattr(component, name, None), kind)
        ]
        return found

    def _build(self, kind: str, name: str, cls: type, given: Mapping[str, Any]) -> Any:
        known = options_of(cls)
        for key in given:
            if key not in known and key not in SIZES:
                self.refuse(
                    f"{self._of(kind, name)}has no option '{key}'.{did_you_mean(key, known)} "
                    f"Options: {has_option(known.values())}"
                )
        arguments: dict[str, Any] = {}
        for option in known.values():
            if option.name in given:
                arguments[option.name] = self._given(option, given[option.name])
                continue
            value = self.surroundings.fill(option)
            if value is not None:
                arguments[option.name] = value
            elif option.required and (option.wired or option.component is None):
                self.refuse(
                    f"{self._of(kind, name)}needs the option '{option.name}' ({option.expected}): "
                    f"give a small value, check_component(…, {option.name}=…)"
                )
            elif option.required:
                assert option.component is not None, "what is neither wired nor plain is nested"
                self.refuse(
                    f"there is no fake {option.component[1].__name__} for '{option.name}': name a "
                    f"component, check_component(…, {option.name}={{'name': …}}), or give an object"
                )
        with self.trying(f"building it with {_shown(arguments)}"):
            return cls(**arguments)

    def _of(self, kind: str, name: str) -> str:
        """Name a nested component."""
        return "" if (kind, name) == (self.kind, self.name) else f"its {kind} '{name}' "

    def _given(self, option: Option, value: Any) -> Any:
        if option.component is not None and isinstance(value, (str, Mapping)):
            block = {"name": value} if isinstance(value, str) else dict(value)
            name = str(block.pop("name"))
            kind = option.component[0]
            return self._build(kind, name, self.registry.get(kind, name), block)
        if option.component is not None or option.is_tokenizer:
            return value
        try:
            return check_value(option.annotation, value)
        except ValueError as error:
            self.refuse_from(error, f"option '{option.name}': {error}")

    def wired(self, name: str) -> Any:
        """Return what a model of these parts wires to a name; None where it has nothing."""
        return self.surroundings.wired(name)

    # ---- what it is fed ---------------------------------------------------------------------

    def reading(self, kinds: Sequence[type]) -> "Subject":
        """Return the subject with studies that carry these annotations and no others.

        Who looks up one that it never declared would find nothing in a run either.
        """
        for kind in kinds:
            missing = [study.id for study in self.studies if kind not in study.annotations]
            if missing:
                self.refuse(
                    f"reads {kind.__name__}, which study '{missing[0]}' lacks: give "
                    f"studies=[make_study(annotations={{{kind.__name__}: …}}), …]"
                )
        carried = [
            replace(study, annotations={kind: study.annotations[kind] for kind in kinds})
            for study in self.studies
        ]
        return replace(self, studies=carried)

    def rngs(self, *, seed: int = 0) -> list[np.random.Generator]:
        """Make one generator a study."""
        return make_rngs(self.studies, seed=seed)

    def batch(self, prepares: Mapping[str, Prepares[Any]] | None = None) -> Batch:
        """Collate the studies."""
        return make_batch(
            self.studies,
            tokenizer=self.parts.decoder.tokenizer,
            text_tokenizer=self.parts.text_encoder.tokenizer,
            image_size=self.wired("image_size"),
            max_report_tokens=self.wired("max_report_tokens"),
            prepares=prepares,
        )


def _classes(kind: str, name: str, given: Mapping[str, Any], registry: Registry) -> Iterator[type]:
    """Iterate over the classes of a component and of those nested in it."""
    cls = registry.get(kind, name)
    yield cls
    for key, option in options_of(cls).items():
        value = given.get(key)
        if option.component is None or value is None:
            continue
        if isinstance(value, (str, Mapping)):
            block = {"name": value} if isinstance(value, str) else dict(value)
            if "name" not in block:
                raise RegistryError(
                    f"{kind} '{name}': the block of option '{key}' has no name: {value!r}"
                )
            yield from _classes(option.component[0], str(block.pop("name")), block, registry)
        else:
            yield type(value)


def _shown(arguments: Mapping[str, Any]) -> str:
    plain = (str, int, float, bool, tuple, list, dict, type(None))
    return (
        ", ".join(
            f"{key}={value!r}" if isinstance(value, plain) else f"{key}={type(value).__name__}"
            for key, value in arguments.items()
        )
        or "no arguments"
    )
