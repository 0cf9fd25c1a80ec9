"""How mistakes are told."""

import pytest

from rrgcore.errors import Problem, RecipeError, UserError, did_you_mean


def test_a_recipe_error_lists_every_problem_with_address_and_line() -> None:
    error = RecipeError(
        "recipes/kia_graph.yaml",
        [
            Problem("model.encoder.image_size", "expected int, got 'big'", 4),
            Problem(
                "objectives.mim.masking.p_keys",
                "masking 'anatomy' has no option 'p_keys'. Did you mean 'p_key'?\n"
                "Options: p_key, p_total",
                8,
            ),
            Problem(
                "objectives.mlm.masking.name",
                "no masking called 'grpah'. Did you mean 'graph'?\n"
                "Known: graph (rrg_kia), label (rrg_kia), random_words (rrg_basics)",
                9,
            ),
        ],
    )
    assert str(error) == (
        "recipes/kia_graph.yaml: 3 problems\n"
        "\n"
        "  model.encoder.image_size (line 4)\n"
        "    expected int, got 'big'\n"
        "\n"
        "  objectives.mim.masking.p_keys (line 8)\n"
        "    masking 'anatomy' has no option 'p_keys'. Did you mean 'p_key'?\n"
        "    Options: p_key, p_total\n"
        "\n"
        "  objectives.mlm.masking.name (line 9)\n"
        "    no masking called 'grpah'. Did you mean 'graph'?\n"
        "    Known: graph (rrg_kia), label (rrg_kia), random_words (rrg_basics)"
    )


def test_one_problem_is_one_problem() -> None:
    assert str(RecipeError("a.yaml", [Problem("seed", "wrong")])).startswith("a.yaml: 1 problem\n")


@pytest.mark.parametrize(
    ("problem", "head"),
    [
        (Problem("seed", "x"), "  seed"),
        (Problem("seed", "x", 3), "  seed (line 3)"),
        (Problem("seed", "x", 3, "parent.yaml"), "  seed (parent.yaml, line 3)"),
        (Problem("seed", "x", None, "command line"), "  seed (command line)"),
        (Problem("", "x", 3), "  line 3"),
        (Problem("", "x", 3, "parent.yaml"), "  parent.yaml, line 3"),
        (Problem("", "x", None, "parent.yaml"), "  parent.yaml"),
    ],
)
def test_a_problem_says_where_it_is(problem: Problem, head: str) -> None:
    assert str(problem) == f"{head}\n    x"


def test_a_problem_of_the_file_as_a_whole_has_no_place() -> None:
    assert str(Problem("", "cannot be read")) == "    cannot be read"


def test_blank_lines_in_a_text_get_no_trailing_spaces() -> None:
    assert str(Problem("seed", "one\n\ntwo")) == "  seed\n    one\n\n    two"


def test_the_file_that_the_header_names_is_not_repeated() -> None:
    error = RecipeError(
        "a.yaml", [Problem("seed", "x", 1, "a.yaml"), Problem("b", "y", 2, "b.yaml")]
    )
    assert [problem.file for problem in error.problems] == [None, "b.yaml"]
    assert "(line 1)" in str(error)
    assert "(b.yaml, line 2)" in str(error)


def test_a_recipe_error_without_problems_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="at least one problem"):
        RecipeError("a.yaml", [])


def test_a_recipe_error_is_a_users_error() -> None:
    assert issubclass(RecipeError, UserError)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("grpah", " Did you mean 'graph'?"),
        ("GRAPH", " Did you mean 'graph'?"),
        ("radam", " Did you mean 'RAdam'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_suggested_whatever_its_case(name: str, meant: str) -> None:
    assert did_you_mean(name, ["label", "graph", "RAdam"]) == meant


def test_a_suggestion_can_be_asked_for_what_is_no_name() -> None:
    assert did_you_mean(3, ["label"]) == ""


def test_nothing_is_suggested_where_nothing_is_known() -> None:
    assert did_you_mean("graph", []) == ""
