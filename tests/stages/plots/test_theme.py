"""Names in figures: short, once each, and shown as they are."""

from __future__ import annotations

import html

from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.stages.plots import theme


@given(st.text(), st.integers(1, 40))
def test_a_shortened_name_fits_and_keeps_its_ends(text: str, limit: int) -> None:
    short = theme.shorten(text, limit)
    assert len(short) <= max(limit, 1)
    if len(text) <= limit:
        assert short == text
    else:
        head, tail = short.split(theme.ELLIPSIS, 1) if theme.ELLIPSIS not in text else ("", "")
        assert text.startswith(head)
        assert text.endswith(tail)


@given(st.lists(st.text(max_size=60), unique=True, max_size=30))
def test_names_stay_apart(names: list[str]) -> None:
    shown = theme.labels(names)
    assert len(shown) == len(names)
    assert len(set(shown)) == len(names)


def test_what_reads_like_a_tag_is_shown_as_it_is() -> None:
    figure = theme.blank("t", "<b>bold</b>", x="", y="")
    assert figure.layout.title.subtitle.text == "&lt;b&gt;bold&lt;/b&gt;"
    assert [html.unescape(t) for t in theme.labels(["<=50K", ">50K"])] == ["<=50K", ">50K"]


def test_a_split_has_one_colour_and_new_data_another() -> None:
    assert theme.split_color("train") == theme.split_color("folds_train_combined")
    assert theme.split_color("infer_0") == theme.split_color("infer_7")
    assert len({theme.split_color(s) for s in ("train", "validation", "test", "infer_0")}) == 4
