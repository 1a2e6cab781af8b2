"""Declarations and names that somebody else wrote: refused, or shown letter by letter."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from aiqc_core import config
from aiqc_core.cli import leaderboard
from aiqc_core.errors import AIQCError
from aiqc_core.experiment import Experiment, FeatureEncoder, Pipeline, Training, workflow
from aiqc_core.experiment.declaration.discovery import discover
from aiqc_core.orm import Dataset, Feature, Label, Predictor, Queue, metastore
from aiqc_dagster.ui import markdown, metadata

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.orm import Prediction

TAG = "<script>alert(1)</script>"
PICTURE = "<img src=x onerror=alert(1)>"
COLUMNS = [
    'a"; DROP TABLE dataset; --',
    "it's %s %(x)s {0} {x}",
    TAG,
    PICTURE,
    r"$\frac{$",
    "![x](http://127.0.0.1:9/x.png)",
    "[/red] [link=http://e]x[/link]",
    "line\nbreak | cell",
    "\u202egnp.exe",
    "../../../etc/passwd",
]
CLASSES = (f"up {TAG}", f"down {PICTURE} $x$")
LABEL = f"y {PICTURE}"


def source() -> pd.DataFrame:
    """Columns and classes with names that nobody would give in good faith."""
    values = np.random.default_rng(0).normal(size=(60, len(COLUMNS)))
    frame = pd.DataFrame(values, columns=COLUMNS)
    frame[LABEL] = np.where(values[:, 0] > 0, *CLASSES)
    return frame


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train two models on those columns; the store stays for the module."""
    import small_experiment
    from sklearn.preprocessing import LabelBinarizer, StandardScaler

    with config.use_home(tmp_path_factory.mktemp("hostile") / "aiqc"):
        experiment = Experiment(
            name="hostile",
            source=source,
            pipeline=Pipeline(
                label=LABEL,
                label_encoder=LabelBinarizer(),
                feature_encoders=[FeatureEncoder(encoder=StandardScaler())],
                size_test=0.2,
                size_validation=0.2,
            ),
            training=Training(
                library="pytorch",
                analysis_type="classification_binary",
                fn_build=small_experiment.fn_build,
                fn_train=small_experiment.fn_train,
                hyperparameters={"epochs": [1], "activation": ["[/red]", TAG]},
                permute_count=1,
            ),
            seed=1,
        )
        workflow.run(experiment, snapshot="s1")
        yield Queue.get_by_id(1)
        metastore.close()


def test_names_come_back_letter_by_letter_and_harm_no_table(queue: Queue) -> None:
    dataset = Dataset.get_by_id(1)
    assert dataset.columns == [*COLUMNS, LABEL]
    assert dataset.to_df().equals(source())
    feature, label = Feature.get_by_id(1), Label.get_by_id(1)
    assert (feature.columns, label.columns) == (COLUMNS, [LABEL])
    predictor = Predictor.get_by_id(1)
    said = predictor.predict(source().head(3)[COLUMNS[::-1]])
    assert LABEL in said.columns
    assert set(said[LABEL]) <= set(CLASSES)
    assert Dataset.select().count() == 1
    assert not [path for path in config.home().rglob("*") if "etc" in path.name]


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")  # fonts lack what no one should type
def test_nothing_that_dagster_shows_as_markdown_holds_a_name_of_others(queue: Queue) -> None:
    predictor = Predictor.get_by_id(1)
    shown: dict[str, Any] = {
        **metadata.of_dataset(Dataset.get_by_id(1)),
        **metadata.of_feature(Feature.get_by_id(1)),
        **metadata.of_label(Label.get_by_id(1)),
        **metadata.of_splitset(queue.splitset),
        **metadata.of_predictor(predictor.job, predictor, "in this run"),
        **metadata.figures.of_champion(predictor),
    }
    marked = [v.md_str for v in shown.values() if type(v).__name__ == "MarkdownMetadataValue"]
    assert len(marked) >= 4
    picture = re.compile(r"!\[[\w ]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)")
    assert all(picture.fullmatch(text) for text in marked)


@pytest.mark.parametrize("plot", ["confusion_matrix", "roc_curve", "feature_importance"])
def test_figures_as_web_pages_hold_names_as_text(queue: Queue, plot: str) -> None:
    prediction: Prediction = Predictor.get_by_id(1).prediction
    drawn = {
        "confusion_matrix": prediction.plot_confusion_matrix,
        "roc_curve": prediction.plot_roc_curve,
        "feature_importance": prediction.plot_feature_importance,
    }[plot](call_display=False)
    for figure in drawn if isinstance(drawn, list) else [drawn]:
        page = figure.to_html(include_plotlyjs=False)
        assert TAG not in page
        assert PICTURE not in page
        assert json.dumps(PICTURE)[1:-1] not in figure.to_json()


def test_the_leaderboard_shows_what_looks_like_markup(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    console = Console(file=written, width=300)
    monkeypatch.setattr(leaderboard, "Console", lambda: console)
    leaderboard.leaderboard("hostile", None, None, None, as_json=False)
    assert "activation=[/red]" in written.getvalue()
    assert f"activation={TAG}" in written.getvalue()


def test_text_in_markdown_makes_no_picture_link_or_cell() -> None:
    shown = markdown.plain("![x](http://e/x.png) | [a](javascript:alert(1)) <b>\nc")
    assert re.search(r"(?<!\\)[\[<|]", shown.replace("<br>", "")) is None
    assert markdown.fenced("```\n![x](http://e)\n````").startswith("`````\n")


def declared(folder: Path, text: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "defs.yaml").write_text(text)
    return [str(fault) for found in discover(folder) for fault in found.faults]


def test_aliases_of_aliases_are_refused_before_they_grow(tmp_path: Path) -> None:
    """Ten levels of ten: 10**10 values, were they ever made."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    [fault] = declared(tmp_path / "lists", "\n".join(lines) + "\n")
    assert "more than 100000 values, counting what aliases repeat" in fault
    merged = ["m0: &m0 {k0: v}"]
    merged += [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: v}}" for n in range(1, 30)]
    [fault] = declared(tmp_path / "mappings", "\n".join(merged) + "\n")
    assert "counting what aliases repeat" in fault


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("name: &a [*a]\n", "holds itself"),
        ("name: " + "[" * 5000 + "]" * 5000 + "\n", "recursion"),
        ("name: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("name: !!python/name:os.system\n", "could not determine a constructor"),
        ("name: !!binary |\n  \x00\n", "is no plain YAML"),
    ],
)
def test_what_a_declaration_needs_not_is_refused(tmp_path: Path, text: str, reported: str) -> None:
    faults = declared(tmp_path / "a", text)
    assert any(reported in fault for fault in faults), faults


@pytest.mark.parametrize("name", ["../x", "a/b", TAG, "x\ny", "Up", "", "a" * 61, "-x"])
def test_an_experiment_is_named_by_what_a_folder_may_be_called(name: str) -> None:
    import small_experiment

    with pytest.raises(ValueError, match="name"):
        small_experiment.declare(name=name)


def test_an_image_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path, home: Path) -> None:
    """A megabyte of PNG that says it has 900 million pixels: reported by its header alone."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        sealed = kind + data
        return struct.pack(">I", len(data)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    bomb += chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(bomb)
    with pytest.raises(AIQCError, match=r"1\.png: .*900000000 pixels"):
        Dataset.Image.from_folder(str(tmp_path / "pictures"))
    assert Image.MAX_IMAGE_PIXELS, "the limit is Pillow's own, and is not lifted for others"
