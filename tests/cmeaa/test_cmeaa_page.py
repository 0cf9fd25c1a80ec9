"""CmEAA's page: ambiguities, parameters."""

import re
from dataclasses import fields

import torch
from torch import nn

from rrg_basics.adapters import LinearAdapter
from rrg_cmeaa.adapter import CmEAA
from rrg_cmeaa.cfe import CFE
from rrg_cmeaa.mine import MutualInformation
from rrg_cmeaa.nmia import NMIA
from rrg_cmeaa.repadapter import RepAdapter
from rrgcore.plugins import Discovered
from rrgcore.signatures import options_of
from rrgcore.types import Generation

from ..docs.pages import DOCS, code, prose, read, rows
from .fakes import NO_WORDS

PAGE = DOCS / "papers" / "cmeaa.md"


def test_every_ambiguity_is_answered_with_options_that_exist(plugins: Discovered):
    table = rows(read(PAGE), "#", "question", "our reading", "option")
    assert [number for number, *_ in table] == [f"C{n}" for n in range(1, 21)]
    built = ("encoder", "adapter", "objective", "decoder", "part", "source")
    kinds = {c.name: c.kind for e in plugins.registry.entries() if (c := e.component).kind in built}
    asked: dict[str, set[str]] = {}
    for *_, cell in table:
        for options, owner in re.findall(r"((?:`[^`]+`,? ?)+)of `(\w+)`", cell):
            known = {"weight", *options_of(plugins.registry.get(kinds[owner], owner))}
            assert set(code(options)) <= known, cell
            asked.setdefault(owner, set()).update(code(options))
    # and the other way round: what the plugin lets one choose, the page explains
    wired = {"image_dim", "visual_dim", "token_dim", "text_dim", "alignment_dim", "tokenizer"}
    explained = {option for name in ("cmeaa", "cfe", "nmia", "mine") for option in asked[name]}
    explained |= {"enhance", "align", *(said.partition(":")[0] for said in code(prose(PAGE)))}
    for cls in (CmEAA, CFE, NMIA, MutualInformation):
        assert set(options_of(cls)) - wired - explained == set(), cls.__name__
    assert {field.name for field in fields(Generation)} > {"beams", "length_penalty"}


def test_parameters_are_those_that_are_counted_at_the_papers_scale():
    def cmeaa(*parts: str, **options) -> nn.Module:
        made = {"cfe": CFE(image_dim=1024, token_dim=4096), "nmia": NMIA(image_dim=1024)}
        return CmEAA(
            **{"image_dim": 1024, "visual_dim": 4096, "tokenizer": NO_WORDS},
            enhance=made["cfe"] if "cfe" in parts else None,
            align=made["nmia"] if "nmia" in parts else None,
            **options,
        )

    def count(module: nn.Module) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,}"

    with torch.device("meta"):
        whole = cmeaa("cfe", "nmia")
        counted = [
            whole,
            cmeaa("cfe"),
            cmeaa("nmia"),
            LinearAdapter(image_dim=1024, visual_dim=4096, norm=True),
            cmeaa("cfe", "nmia", fusion_space="llm"),
            MutualInformation(text_dim=4096, alignment_dim=256),
        ]
        parts = [
            whole.enhance,
            whole.enhance.project,
            whole.align,
            nn.ModuleList([whole.f_d, whole.f_u]),
            RepAdapter(image_dim=1024),
        ]
    table = rows(read(PAGE), "part", "parameters")
    assert [number for _, number in table] == list(map(count, counted))
    last = prose(PAGE).strip().splitlines()[-1]
    assert re.findall(r"\d+(?:,\d{3})+(?! to)", last.replace("4,096 to 1,024", "")) == list(
        map(count, parts)
    )
