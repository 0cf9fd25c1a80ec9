"""Which words name a finding, and which words are hidden."""

import torch

from rrgcore.insight.masked import MaskedWords
from rrgcore.insight.naming import Named, statuses
from rrgcore.supply import Mention
from rrgcore.types import MaskedText

REPORT = "no edema . small pleural effusion . heart is large ."


def mentions(text):
    for name, value, phrase in (
        ("Edema", 0, "edema"),
        ("Pleural Effusion", 1, "pleural effusion"),
        ("Cardiomegaly", -1, "heart is large"),
    ):
        start = text.index(phrase)
        yield Mention(name, value, start, start + len(phrase), phrase)


def test_words_that_name_a_finding_are_those_of_its_mentions():
    named = Named.of(REPORT.split(), mentions)
    assert named.naming == {"Pleural Effusion": [4, 5], "Cardiomegaly": [7, 8, 9]}


def test_the_sentence_of_a_finding_goes_from_stop_to_stop():
    named = Named.of(REPORT.split(), mentions)
    assert named.sentence["Pleural Effusion"] == [3, 4, 5]


def test_nobody_to_tell_is_none():
    assert Named.of(REPORT.split(), lambda text: None) is None


def test_a_label_report_states_each_observation():
    text = "in this image , lung lesion is absent , edema is present , a thing is present ."
    assert statuses(text.split()) == {"Lung Lesion": (7, "absent"), "Edema": (11, "present")}


PIECES = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "heart", "is", "large", "ly")


def decode(ids):
    text = " ".join(PIECES[i] for i in ids if i > 3)
    return text.replace(" ly", "ly")


def test_hidden_words_are_read_back_and_answered():
    text = MaskedText(
        torch.tensor([1, 4, 5, 3, 3, 2, 0]),
        torch.tensor([1, 1, 1, 1, 1, 1, 0]).bool(),
        torch.tensor([-100, -100, -100, 6, 7, -100, -100]),
    )
    masked = MaskedWords.of(text, decode)
    assert masked.words == ("heart", "is", "largely")
    assert masked.hidden == (2,)
    assert masked.asked() == [[3, 4]]
    assert masked.answered([4, 7], decode) == {2: "heartly"}
    assert masked.answered([3, 3], decode) == {2: "[MASK]"}
    assert masked.before(2) == "heart is"
