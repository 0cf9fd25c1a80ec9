"""For authors of plugins: the contract of each kind of component, and small things to test with.

from rrgcore.testing import check_component

def test_pool_keeps_the_contract():
    check_component("adapter", "hello.pool", stride=7)
"""

from rrgcore.testing.contract import check_component
from rrgcore.testing.fake_data import FakeDataset, FakeImageMasking, FakeTextMasking
from rrgcore.testing.fake_networks import (
    FakeAdapter,
    FakeDecoder,
    FakeEncoder,
    FakeJointSpace,
    make_parts,
)
from rrgcore.testing.fake_trunk import FakeTrunk
from rrgcore.testing.samples import (
    make_batch,
    make_rngs,
    make_studies,
    make_study,
    make_tokenizer,
)

__all__ = [
    "FakeAdapter",
    "FakeDataset",
    "FakeDecoder",
    "FakeEncoder",
    "FakeImageMasking",
    "FakeJointSpace",
    "FakeTextMasking",
    "FakeTrunk",
    "check_component",
    "make_batch",
    "make_parts",
    "make_rngs",
    "make_studies",
    "make_study",
    "make_tokenizer",
]
