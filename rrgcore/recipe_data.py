"""The data of a recipe without the model around them, for commands that look at data alone."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast, final

from rrgcore.build import build_alone
from rrgcore.check.components import Components
from rrgcore.check.data import data_of
from rrgcore.check.reader import Reader
from rrgcore.errors import RecipeError, RegistryError
from rrgcore.plan import Block
from rrgcore.recipe import Recipe
from rrgcore.registry import Registry
from rrgcore.settings import DataSettings
from rrgcore.signatures import options_of
from rrgcore.supply import Annotator, Dataset
from rrgcore.tokenizers import WORDS
from rrgcore.tokens import Tokenizer, load_tokenizer


@final
@dataclass(frozen=True, slots=True)
class RecipeData:
    """What a recipe says of its data."""

    recipe: Recipe
    settings: DataSettings
    tokenizer_name: str
    """The decoder's: it cuts reports and knows words."""
    block: Block
    annotators: Mapping[type, Block]

    def dataset(self) -> Dataset:
        """Build the dataset; raises RecipeError, whose cause is what its constructor raised."""
        return cast(Dataset, build_alone(self.block, self.recipe, self.settings))

    def annotator(self, kind: type) -> Annotator:
        """Build who makes a class of annotations, unfitted; raises RecipeError."""
        return cast(Annotator, build_alone(self.annotators[kind], self.recipe, self.settings))

    def tokenizer(self) -> Tokenizer | None:
        """Load the tokenizer; None for the words of the training reports. Raises WeightsError."""
        return None if self.tokenizer_name == WORDS else load_tokenizer(self.tokenizer_name)


def recipe_data(recipe: Recipe, registry: Registry) -> RecipeData:
    """Read the section `data`, and which tokenizer reads the reports; raises RecipeError."""
    reader = Reader(recipe, expand_paths=True)
    data = reader.mapping(recipe.values.get("data"), "data")
    block, settings, annotators = data_of(Components(reader, registry), data)
    if reader.problems or block is None or settings is None:
        raise RecipeError(recipe.source, list(dict.fromkeys(reader.problems)))
    return RecipeData(recipe, settings, _tokenizer_name(recipe, registry), block, annotators)


def _tokenizer_name(recipe: Recipe, registry: Registry) -> str:
    """Look at the decoder alone; what is wrong with it is not ours to say."""
    model = recipe.values.get("model")
    decoder = model.get("decoder") if isinstance(model, Mapping) else None
    values: Mapping[str, Any] = decoder if isinstance(decoder, Mapping) else {"name": decoder}
    if isinstance(chosen := values.get("tokenizer"), str):
        return chosen
    with suppress(RegistryError):
        option = options_of(registry.get("decoder", str(values.get("name")))).get("tokenizer")
        if option is not None and isinstance(option.default, str):
            return option.default
    return WORDS
