"""Whether the columns that somebody asks for are scores that the rows will have."""

from collections.abc import Iterable, Sequence

from rrgcore.ablation.results import full_name, unknown_score
from rrgcore.build import make_metrics
from rrgcore.plan import Plan
from rrgcore.scoring import Pair
from rrgcore.scoring.scorecard import fit_metrics, flat, score

REPORT = "the lungs are clear . no pleural effusion or pneumothorax ."


def check_columns(names: Sequence[str], plans: Iterable[Plan]) -> None:
    """Raise UserError for a score that no row's metrics give, before the first run of days.

    They score a report against itself; those that take long only where the others lack the name.
    """
    known: dict[str, None] = {}
    for quick in (True, False):
        for plan in plans:
            metrics = make_metrics(plan)
            fit_metrics(metrics, [REPORT])
            scores = score([Pair("a", REPORT, REPORT)], metrics, quick=quick)
            missing = [f"{k}.{name}" for k, found in scores.items() for name in found.missing]
            known |= dict.fromkeys([*flat(scores), *missing])
        unknown = [name for name in names if full_name(name, known) is None]
        if not unknown:
            return
    raise unknown_score(unknown[0], known)
