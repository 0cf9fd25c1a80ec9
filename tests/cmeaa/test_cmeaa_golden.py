"""CmEAA's equations as numbers, through the classes that training uses."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from rrg_cmeaa.adapter import CmEAA
from rrg_cmeaa.attention import Attention
from rrg_cmeaa.bound import corrected, donsker_varadhan, follow, log_mean_exp
from rrg_cmeaa.cfe import CFE
from rrg_cmeaa.mine import Critic, MutualInformation
from rrg_cmeaa.ngrams import ObservationNGrams
from rrg_cmeaa.nmia import NMIA
from rrg_cmeaa.repadapter import RepAdapter
from rrgcore.api import Encoded
from rrgcore.testing import make_parts

from .fakes import NO_WORDS, Table, features_of

Golden = Callable[[str], Any]
Numbers = Mapping[str, Any]


def number(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected: Any) -> None:
    assert_close(actual.detach(), number(expected), rtol=0, atol=1e-9)


def put(parameter: Tensor, values: Any) -> None:
    with torch.no_grad():
        assert parameter.shape == number(values).shape
        parameter.copy_(number(values))


def linear(weight: Any, bias: Any) -> nn.Linear:
    rows, columns = number(weight).shape
    layer = nn.Linear(columns, rows).double()
    put(layer.weight, weight)
    put(layer.bias, bias)
    return layer


# ---- RepAdapter ---------------------------------------------------------------------------


def rep_adapter(case: Numbers) -> RepAdapter:
    given = case["params"]
    hidden, dim = number(given["conv_A_weight"]).shape
    adapter = RepAdapter(
        image_dim=dim, hidden=hidden, groups=given["groups"], scale=given["scale"]
    ).double()
    put(adapter.down.weight, given["conv_A_weight"])
    put(adapter.down.bias, given["conv_A_bias"])
    put(adapter.up.weight, given["conv_B_weight_grouped"])
    put(adapter.up.bias, given["conv_B_bias"])
    return adapter.eval()


def test_rep_adapter(golden: Golden) -> None:
    case = golden("repadapter")
    adapter, x, expected = rep_adapter(case), number(case["inputs"]["x"]), case["expected"]
    close(adapter.down(x), expected["down"])
    close(adapter.up.dense(), expected["conv_B_dense"])
    close(adapter(x), expected["y"])


def test_rep_adapter_merged(golden: Golden) -> None:
    case = golden("repadapter")
    adapter, x, expected = rep_adapter(case), number(case["inputs"]["x"]), case["expected"]
    given = case["params"]
    following = linear(given["next_linear_weight"], given["next_linear_bias"])
    merged = adapter.merge(following)
    close(merged.weight, expected["merged_weight"])
    close(merged.bias, expected["merged_bias"])
    close(merged(x), expected["next_linear_of_y"])
    close(following(adapter(x)), expected["next_linear_of_y"])
    alone = adapter.merge()
    close(alone.weight, expected["adapter_as_linear_weight"])
    close(alone.bias, expected["adapter_as_linear_bias"])


# ---- eq. 1-4 ------------------------------------------------------------------------------


def put_attention(attention: Attention, given: Numbers, norm: Numbers | None = None) -> None:
    for name in "qkv":
        put(getattr(attention, name).weight, given[f"W{name}"])
        put(getattr(attention, name).bias, given[f"b{name}"])
    put(attention.out.weight, given["Wo"])
    put(attention.out.bias, given["bo"])
    if norm is not None:
        put(attention.norm.weight, norm["gamma"])
        put(attention.norm.bias, norm["beta"])


def make_cfe(given: Numbers, *, norms: Any = (None, None, None), **options: Any) -> CFE:
    width, hidden = number(given["ffn_W2"]).shape
    same = {"image_dim": width, "token_dim": width, "heads": 1, "norm": "none", "hidden": hidden}
    cfe = CFE(**{**same, **options}).double()
    put_attention(cfe.text, given["text_SA"], norms[0])
    put_attention(cfe.visual, given["visual_SA"], norms[1])
    put_attention(cfe.cross, given["cross_CA"], norms[2])
    for layer, name in ((cfe.ffn[0], "1"), (cfe.ffn[-1], "2")):
        put(layer.weight, given[f"ffn_W{name}"])
        put(layer.bias, given[f"ffn_b{name}"])
    return cfe.eval()


@pytest.mark.parametrize("tau", [10.0, 1.0, 0.1])
def test_fusion(golden: Golden, tau: float) -> None:
    case = golden("cmeaa_fusion")
    given, expected = case["params"], case["expected"]
    e = number(case["inputs"]["E_s_o"])
    image = Encoded(x := number(case["inputs"]["X"]), x.mean(1))
    studies, grams, width = e.shape
    cfe = make_cfe(given)
    cfe.project = nn.Identity()  # E comes at the width of X here
    nmia = NMIA(image_dim=width, k=len(given["b1"]))
    nmia.reduce, nmia.expand = linear(given["W1"], given["b1"]), linear(given["W2"], given["b2"])
    adapter = CmEAA(
        image_dim=width,
        visual_dim=width,
        tokenizer=NO_WORDS,
        enhance=cfe,
        align=nmia,
        hidden=len(given["conv_A_bias"]),
        groups=given["groups"],
        scale=given["scale"],
        temperature=tau,
        norm=False,
    ).double()
    adapter.generator = linear(given["weights_linear_W"], given["weights_linear_b"])
    adapter.project = nn.Identity()  # eq. 4 ends before the language model
    put(adapter.f_d.down.weight, given["conv_A_weight"])
    put(adapter.f_d.down.bias, given["conv_A_bias"])
    for name, up in (("d", adapter.f_d.up), ("u", adapter.f_u.up)):
        put(up.weight, given[f"conv_B_{name}_weight_grouped"])
        put(up.bias, given[f"conv_B_{name}_bias"])
    # a token for each n-gram of each study, which the decoder's table embeds as given
    table = torch.cat([torch.zeros(1, width).double(), e.flatten(0, 1)])
    adapter.bind(make_parts(decoder=Table(table), adapter=adapter))
    adapter.eval()
    ids = torch.arange(len(table))
    index = ids[1:].reshape(studies, grams)
    ngrams = ObservationNGrams(ids[:, None], ids[:, None] > 0, index, index > 0)

    wanted = expected[f"tau_{tau:g}"]
    visual = adapter(image, ngrams)
    close(adapter.f_d(x), expected["f_d"])
    close(adapter.f_u(x), expected["f_u"])
    embedded, mask = cfe.embed(ngrams)
    close(embedded, case["inputs"]["E_s_o"])
    close(cfe(adapter.f_d(x), embedded, mask=mask), expected["cfe"])
    close(adapter.generator(x.mean(1)), wanted["logits"])
    close(adapter.weigh(image)[:, 0], wanted["w_hat"])
    close(nmia(adapter.f_u(x))[0], wanted["nmia"])
    close(visual.tokens, wanted["out"])


# ---- eq. 7-10 -----------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_cfe_as_printed(golden: Golden, masked: bool) -> None:
    case = golden("cmeaa_cfe")
    cfe = make_cfe(case["params"])
    x, e = number(case["inputs"]["X_v_d"]), number(case["inputs"]["E_s_o"])
    expected = case["expected"]["bare_gelu_masked" if masked else "bare_gelu"]
    mask = torch.tensor(case["inputs"]["ngram_mask_true_is_real"]) if masked else None
    e_sa, x_sa = cfe.text(e, e, mask), cfe.visual(x, x)
    close(e_sa, expected["E_sa"])
    close(x_sa, expected["X_sa"])
    close(cfe.cross(x_sa, e_sa, mask), expected["E_star"])
    close(cfe(x, e, mask=mask), expected["out"])


def test_cfe_with_relu(golden: Golden) -> None:
    case = golden("cmeaa_cfe")
    cfe = make_cfe(case["params"], activation="relu")
    x, e = number(case["inputs"]["X_v_d"]), number(case["inputs"]["E_s_o"])
    close(cfe(x, e), case["expected"]["bare_relu_out"])


def test_cfe_with_residuals_and_norms(golden: Golden) -> None:
    case = golden("cmeaa_cfe")
    norms, expected = case["params"]["post_ln"], case["expected"]["residual_postln_gelu"]
    cfe = make_cfe(case["params"], norms=norms, norm="post")
    x, e = number(case["inputs"]["X_v_d"]), number(case["inputs"]["E_s_o"])
    close(cfe.text(e, e), expected["E_sa"])
    close(cfe.visual(x, x), expected["X_sa"])
    close(cfe(x, e), expected["out"])


# ---- eq. 13-15 and algorithm 1 ------------------------------------------------------------


def make_nmia(case: Numbers, **options: Any) -> NMIA:
    given = case["params"]
    width = number(given["W1"]).shape[1]
    nmia = NMIA(image_dim=width, k=len(given["b1"]), **options).double()
    nmia.reduce = linear(given["W1"], given["b1"])
    nmia.expand = linear(given["W2"], given["b2"])
    return nmia


@pytest.mark.parametrize("pool", ["before", "after"])
def test_nmia(golden: Golden, pool: Any) -> None:
    case = golden("cmeaa_nmia")
    replicas, aligned = make_nmia(case, pool=pool)(number(case["inputs"]["X_v_u"]))
    close(replicas, case["expected"]["X_G"])
    close(aligned, case["expected"]["C_x"])


def make_mine(case: Numbers, **options: Any) -> MutualInformation:
    given = case["params"]
    k, text_dim = number(given["text_W"]).shape
    mine = MutualInformation(
        text_dim=text_dim, alignment_dim=k, hidden=len(given["T"]["fc1_b"]), **options
    ).double()
    mine.project = linear(given["text_W"], given["text_b"])
    (critic,) = mine.critics
    assert isinstance(critic, Critic)
    for place, name in ((0, "fc1"), (2, "fc2"), (4, "fc3")):
        put(critic.layers[place].weight, given["T"][f"{name}_W"])
        put(critic.layers[place].bias, given["T"][f"{name}_b"])
    return mine


def test_algorithm_1(golden: Golden) -> None:
    case = golden("cmeaa_nmia")
    expected, tokens = case["expected"], number(case["inputs"]["report_token_embeddings"])
    mask = torch.tensor(case["inputs"]["report_mask"]).bool()
    nmia, mine = make_nmia(case), make_mine(case)
    text = Encoded(tokens, tokens[:, 0], mask)
    _, c = nmia(number(case["inputs"]["X_v_u"]))
    close(mine.summary(text), expected["pooled_text"])
    r = mine.project(mine.summary(text))
    close(r, expected["R_y"])
    close(c + r, expected["Z_xy"])

    assert case["inputs"]["marginal_permutation"] == [1, 2, 3, 0]
    draws = torch.zeros(len(c), 2)  # a shift by one
    output = mine(features_of(c, text), draws)
    close(output.loss, expected["L_NMI"])
    close(output.logs["image"], expected["I_c"])
    close(output.logs["text"], expected["I_r"])
    for name, x in (("c", c), ("r", r)):
        joint, marginal = mine.scores(mine.critics[0], x, c + r, torch.tensor(1))
        close(joint, expected[f"T_joint_{name}"])
        close(marginal, expected[f"T_marginal_{name}"])

    output.loss.backward()
    layers, wanted = mine.critics[0].layers, expected["grad_of_L_NMI"]
    close(nmia.reduce.weight.grad, wanted["W1"])
    close(nmia.reduce.bias.grad, wanted["b1"])
    close(mine.project.weight.grad, wanted["Wt"])
    close(mine.project.bias.grad, wanted["bt"])
    for place, name in ((0, "fc1"), (2, "fc2"), (4, "fc3")):
        close(layers[place].weight.grad, wanted[f"{name}_W"])
        close(layers[place].bias.grad, wanted[f"{name}_b"])
    assert nmia.expand.weight.grad is None
    assert nmia.expand.bias.grad is None


@pytest.mark.parametrize("side", ["c", "r"])
def test_the_bound_and_its_gradients(golden: Golden, side: str) -> None:
    case = golden("cmeaa_mine")
    given, expected = case[side], case[side]["expected"]
    joint = number(given["T_joint"]).requires_grad_()
    marginal = number(given["T_marginal"]).requires_grad_()
    bound = donsker_varadhan(joint, marginal)
    close(bound, expected["I_dv"])
    close(log_mean_exp(marginal), expected["log_mean_exp_marginal"])
    (-bound).backward()
    close(joint.grad, expected["grad_minus_I_wrt_T_joint"])
    close(marginal.grad, expected["grad_minus_I_wrt_T_marginal"])

    marginal.grad = None
    average = follow(
        number(case["ema"]["initial"]).log(),
        log_mean_exp(marginal).detach(),
        rate=case["ema"]["rate"],
    )
    close(average.exp(), expected["ema_new"])
    surrogate = -corrected(joint, marginal, average)
    close(surrogate, expected["ema_surrogate_loss"])
    surrogate.backward()
    close(marginal.grad, expected["grad_ema_surrogate_wrt_T_marginal"])


def test_both_bounds_make_the_loss_and_pairs_alone_would_not(golden: Golden) -> None:
    case = golden("cmeaa_mine")
    literal = case["literal_Algorithm_1_without_bar"]
    total = 0.0
    for side in ("c", "r"):
        joint, marginal = (number(case[side][f"T_{name}"]) for name in ("joint", "marginal"))
        total = total - donsker_varadhan(joint, marginal)
        close(donsker_varadhan(joint, joint), literal[f"I_{side}"])
    close(total, case["L_NMI"])


def test_the_log_of_a_mean_does_not_overflow(golden: Golden) -> None:
    case = golden("cmeaa_mine")["stability"]
    close(log_mean_exp(number(case["T_marginal"])), case["log_mean_exp"])
    single = log_mean_exp(number(case["T_marginal"]).float())
    assert float(single) == pytest.approx(case["log_mean_exp"], rel=1e-6)


def test_a_batch_of_one_is_worth_nothing(golden: Golden) -> None:
    case = golden("cmeaa_nmia")
    mine = make_mine(case)
    tokens = number(case["inputs"]["report_token_embeddings"])[:1]
    c = number(case["expected"]["C_x"])[:1].requires_grad_()
    output = mine(features_of(c, Encoded(tokens, tokens[:, 0])), torch.zeros(1, 2))
    assert output.loss == golden("cmeaa_mine")["batch_of_one"]["I"] == 0
    output.loss.backward()
    assert not c.grad.any()
    assert all(not p.grad.any() for p in mine.parameters())


def test_ema_through_the_objective(golden: Golden) -> None:
    """The loss is the bound's, its gradient the corrected one, the average moves once a step."""
    case = golden("cmeaa_nmia")
    tokens = number(case["inputs"]["report_token_embeddings"])
    text = Encoded(tokens, tokens[:, 0], torch.tensor(case["inputs"]["report_mask"]).bool())
    expected, draws = case["expected"], torch.zeros(4, 2)
    mine = make_mine(case, ema_rate=0.01)
    output = mine(features_of(number(expected["C_x"]), text), draws)
    close(output.loss, expected["L_NMI"])
    output.loss.backward()
    scores = {
        side: [number(expected[f"T_{kind}_{side}"]) for kind in ("joint", "marginal")]
        for side in ("c", "r")
    }
    ema = {side: 0.99 + 0.01 * t.exp().mean() for side, (_, t) in scores.items()}
    # the last bias only adds to every T: −(1 − mean e^T̄ / ema) of each bound
    wanted = sum(float(t.exp().mean() / ema[side]) - 1 for side, (_, t) in scores.items())
    assert float(mine.critics[0].layers[4].bias.grad) == pytest.approx(wanted, abs=1e-9)
    assert not mine.log_ema.any()
    mine.after_step()
    close(mine.log_ema.exp(), [float(ema["c"]), float(ema["r"])])
    mine.eval()
    close(mine(features_of(number(expected["C_x"]), text), draws).loss, expected["L_NMI"])
