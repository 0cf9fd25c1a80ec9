"""Image-report contrast: the loss, the queue, the momentum twin."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from rrg_kia.irc import ImageReportContrast
from rrg_kia.projections import Projections
from rrgcore.api import Features, UserError, WordTokenizer
from rrgcore.model import ReportModel

from .fakes import TinyEncoder, TinyText, make_batch, make_parts, make_rngs, make_study

REPORTS = ["the heart is large .", "no effusion .", "lungs are clear ."]


def make_irc(**options):
    return ImageReportContrast(
        space=Projections(image_dim=6, text_dim=6, dim=4), **{"queue": 8, **options}
    )


def make_setting(reports=REPORTS, views=("frontal",), dtype=torch.float32, **options):
    """Return irc bound to parts, features of a batch, and what prepare() made of it."""
    studies = [make_study(str(i), report, views) for i, report in enumerate(reports)]
    tokenizer = WordTokenizer.of_texts(reports)
    irc = make_irc(**options).to(dtype)
    parts = make_parts(TinyEncoder(), TinyText(tokenizer)).to(dtype)
    irc.bind(parts)
    batch = make_batch(studies, tokenizer, dtype=dtype)
    return irc, Features(parts, batch), irc.prepare(studies, make_rngs(len(studies)))


def test_without_a_filled_queue_it_is_symmetric_infonce():
    irc, features, reports = make_setting(mask_unfilled=True, dtype=torch.float64)
    image, text = irc.embed_image(features.image), irc.embed_text(features.text)
    similarity, own = image @ text.mT / 0.07, torch.arange(3)
    expected = (cross_entropy(similarity, own) + cross_entropy(similarity.mT, own)) / 2
    torch.testing.assert_close(irc(features, reports).loss, expected, rtol=1e-6, atol=1e-6)


def test_an_empty_queue_contrasts_the_batch_alone_and_trains():
    irc, features, reports = make_setting(queue=0, dtype=torch.float64)
    image, text = irc.embed_image(features.image), irc.embed_text(features.text)
    similarity, own = image @ text.mT / 0.07, torch.arange(3)
    expected = (cross_entropy(similarity, own) + cross_entropy(similarity.mT, own)) / 2
    torch.testing.assert_close(irc(features, reports).loss, expected, rtol=1e-6, atol=1e-6)
    irc.after_step()
    assert irc.image_queue.shape == (4, 0)
    assert irc.check_training_size(1) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queue": -3}, "irc's queue is -3; expected a number of studies, or 0 for none"),
        ({"momentum": 1.5}, "irc's momentum is 1.5; expected at least 0"),
        ({"momentum": 1.0}, "less than 1, at which it never moves"),
        ({"momentum": -1.0}, "irc's momentum is -1.0; expected at least 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        make_irc(**options)


def test_without_mask_unfilled_random_columns_are_negatives():
    irc, features, reports = make_setting()
    full = irc(features, reports).loss
    irc.mask_unfilled = True
    assert full > irc(features, reports).loss


def test_reports_of_the_same_words_are_no_negatives():
    same, features, reports = make_setting(["no effusion ."] * 3, mask_unfilled=True)
    assert same(features, reports).loss == 0
    same.exclude_duplicates = False
    assert same(features, reports).loss > 1


def test_identities_ignore_white_space_and_are_the_same_everywhere():
    irc = make_irc()
    a, b, c = irc.prepare(
        [make_study(report=r) for r in ("no  effusion .", "no effusion .\n", "no effusions .")],
        make_rngs(3),
    ).tolist()
    assert a == b == 6838853578093465989
    assert c != a


def test_embeddings_have_unit_length():
    irc, features, _ = make_setting(views=("frontal", "lateral"))
    for embedded in (irc.embed_image(features.image), irc.embed_text(features.text)):
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))


@given(st.lists(st.integers(1, 11), min_size=1, max_size=6), st.integers(1, 7))
def test_the_queue_holds_the_newest_in_a_ring(sizes, queue):
    irc = make_irc(queue=queue)
    kept = dict.fromkeys(range(queue), -1)
    seen = 0
    for size in sizes:
        ids = torch.arange(seen, seen + size)
        rows = ids[:, None].expand(size, 4).float()
        irc._enqueue(rows, -rows, ids)
        for number in ids.tolist():
            kept[number % queue] = number
        seen += size
    assert irc.queue_reports.tolist() == [kept[slot] for slot in range(queue)]
    filled = irc.queue_reports >= 0
    assert irc.image_queue[0, filled].tolist() == irc.queue_reports[filled].tolist()
    assert irc.text_queue[3, filled].tolist() == (-irc.queue_reports[filled]).tolist()
    assert irc.pointer == seen % queue


def test_nothing_is_queued_without_gradients_or_in_evaluation():
    irc, features, reports = make_setting()
    with torch.no_grad():
        irc(features, reports)
    irc.eval()(features, reports)
    irc.after_step()
    assert irc.pointer == 0
    assert (irc.queue_reports == -1).all()


def test_all_micro_batches_of_a_step_are_queued():
    irc, features, reports = make_setting()
    for _ in range(2):
        irc(features, reports)
    irc.after_step()
    assert irc.queue_reports.tolist() == [*reports.tolist(), *reports.tolist(), -1, -1]
    irc.after_step()
    assert irc.pointer == 6


def test_the_queue_is_of_the_twin_s_features():
    irc, features, reports = make_setting()
    with torch.no_grad():
        for weight in features.parts.parameters():
            weight.add_(1)
    image, text = irc.embed_image(features.image), irc.embed_text(features.text)
    irc(features, reports)
    twin = irc._momentum_features(features.batch)
    irc.after_step()
    torch.testing.assert_close(irc.image_queue[:, :3].mT, twin[0])
    torch.testing.assert_close(irc.text_queue[:, :3].mT, twin[1])
    assert not torch.allclose(twin[0], image)
    assert not torch.allclose(twin[1], text)


def test_the_twin_follows_the_online_modules_after_a_step():
    irc, features, reports = make_setting(momentum=0.75)
    before = irc.twin["encoder"].embed.weight.clone()
    optimizer = torch.optim.SGD([*features.parts.parameters(), *irc.parameters()], lr=0.1)
    irc(features, reports).loss.backward()
    optimizer.step()
    irc.after_step()
    online = features.parts.encoder.embed.weight
    assert not torch.equal(online, before)
    torch.testing.assert_close(irc.twin["encoder"].embed.weight, before * 0.75 + online * 0.25)
    assert irc.twin["space"].image.weight is not irc.space.image.weight


def test_tau_is_learned_or_kept_and_never_leaves_its_range():
    irc, features, reports = make_setting()
    irc(features, reports).loss.backward()
    assert irc.log_tau.grad != 0
    fixed, features, reports = make_setting(learn_temperature=False)
    assert "log_tau" not in dict(fixed.named_parameters())
    assert fixed(features, reports).logs["temperature"].item() == pytest.approx(0.07)
    with pytest.raises(UserError, match=r"temperature is 2.0; τ stays between 0.001 and 0.5"):
        make_irc(temperature=2.0)


def test_the_first_steps_of_radam_do_not_throw_tau():
    irc, features, reports = make_setting()
    optimizer = torch.optim.RAdam([irc.log_tau], lr=1e-3)
    for _ in range(6):
        optimizer.zero_grad()
        irc(Features(features.parts, features.batch), reports).loss.backward()
        optimizer.step()
        irc.after_step()
    assert 0.06 < irc.tau.item() < 0.08


def test_the_queue_must_be_smaller_than_the_training_set():
    irc = make_irc(queue=1024)
    assert irc.check_training_size(2069) is None
    problem = irc.check_training_size(1000)
    assert problem is not None
    assert "queue of 1024 is not smaller than the training set of 1000 studies" in problem


def test_everything_that_moves_is_in_the_state():
    irc, features, reports = make_setting()
    for _ in range(2):
        irc(features, reports)
        irc.after_step()
    restored, _, _ = make_setting()
    restored.load_state_dict(irc.state_dict())
    assert restored.pointer == 6
    assert torch.equal(restored.queue_reports, irc.queue_reports)
    for name, tensor in irc.twin.state_dict().items():
        assert torch.equal(restored.twin.state_dict()[name], tensor), name


def test_similarities_are_float32_under_mixed_precision():
    irc, features, reports = make_setting()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = irc(features, reports)
    assert output.loss.dtype == torch.float32
    irc.after_step()
    assert irc.image_queue.dtype == torch.float32


def test_images_and_reports_are_encoded_once_for_all_objectives():
    irc, features, reports = make_setting()
    parts = features.parts
    ReportModel(parts=parts, objectives={"irc": irc})
    irc(features, reports)
    irc(features, reports)
    assert (parts.encoder.calls, parts.decoder.calls) == (1, 1)


RANK = """
import sys, torch, torch.distributed as dist
from rrg_kia.irc import ImageReportContrast
from rrg_kia.projections import Projections
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
irc = ImageReportContrast(space=Projections(image_dim=2, text_dim=2, dim=2), queue=4)
from rrgcore.processes import gather_rows
ids = torch.arange(1 + 2 * rank) + 10 * rank
rows = ids[:, None].expand(-1, 2).float()
irc._enqueue(gather_rows(rows), gather_rows(rows), gather_rows(ids))
assert irc.queue_reports.tolist() == [0, 10, 11, 12], irc.queue_reports
assert irc.image_queue[1].tolist() == [0, 10, 11, 12], irc.image_queue
dist.destroy_process_group()
"""


def test_every_rank_holds_the_same_queue_however_unequal_their_batches(tmp_path):
    folders = [str(Path(sys.modules[name].__file__).parents[1]) for name in ("rrgcore", "rrg_kia")]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")],
            env={"PYTHONPATH": ":".join(folders), "OMP_NUM_THREADS": "1", "PATH": ""},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in ranks:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
