"""Every figure of the demo experiments, as a page and as pictures: `make gallery`.

Trains what is untrained in the store, draws, writes `index.html` beside plotly's own script
(nothing comes from elsewhere), and photographs each figure with Chromium for `README.md`.
"""

from __future__ import annotations

import argparse
import html
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs

from aiqc_core.experiment import declaration, workflow
from aiqc_core.orm import Predictor
from aiqc_core.orm.results import data_figures, figures, leaderboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    import plotly.graph_objects as go

    from aiqc_core.experiment import Experiment
    from aiqc_core.orm import Prediction, Queue, Splitset

    Drawn = tuple[str, str, go.Figure | list[go.Figure]]

HERE = Path(__file__).parent
DECLARED = HERE.parent / "aiqc_dagster" / "defs"
WIDTH = 860
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]
STYLE = f"""
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: {WIDTH}px; }}
section {{ margin: 2rem 0; }} code {{ background: #f3f4f6; padding: .1em .3em; }}
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the gallery.

    Attributes:
        slug: its name in the page and on the disk.
        call: how it is made.
        figure: the figure.
    """

    slug: str
    call: str
    figure: go.Figure


def main() -> None:
    """Write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of experiments; all by default")
    parser.add_argument("--out", type=Path, default=HERE / "gallery")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = [one.experiment for one in declaration.discover(DECLARED) if one.experiment]
    chosen = [one for one in found if options.only is None or one.name in options.only]
    drawn = {experiment.name: list(pictures_of(experiment)) for experiment in chosen}
    (options.out / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    (options.out / "index.html").write_text(page(drawn), encoding="utf-8")
    chromium = shutil.which("chromium")
    if chromium is None:
        print("No chromium: the page is written, the pictures and README.md stay as they were.")
        return
    photograph(options.out, [p for each in drawn.values() for p in each], chromium)
    (options.out / "README.md").write_text(readme(drawn), encoding="utf-8")
    print(f"{sum(map(len, drawn.values()))} figures in {options.out}")


def pictures_of(experiment: Experiment) -> Iterator[Picture]:
    """Train one experiment, where it is not, and yield its figures."""
    queue = workflow.run(experiment)
    best = best_of(queue, experiment.leading_metric)
    for slug, call, drawn in [*of_data(queue.splitset), *of_training(queue, best), *judged(best)]:
        several = drawn if isinstance(drawn, list) else [drawn]
        for idx, figure in enumerate(several):
            several_slug, place = (f"_{idx}", f"[{idx}]") if len(several) > 1 else ("", "")
            yield Picture(f"{experiment.name}-{slug}{several_slug}", call + place, figure)


def best_of(queue: Queue, metric: str) -> Prediction:
    """Return the Prediction of the best combination, of its first fold and repeat."""
    board = leaderboard.Board.of(queue, metric)
    key = board.ranked[0].combo_key
    of_it = next(entry for entry in board.trained if entry.combo_key == key)
    return Predictor.get_by_id(of_it.predictor_id).prediction


def of_data(splitset: Splitset) -> Iterator[Drawn]:
    """Yield name, call and result of the figures of the data."""
    feature = splitset.features[0]
    yield "splits", "data_figures.splits(splitset)", data_figures.splits(splitset)
    if list(feature.windows):
        layout = data_figures.window_layout(feature)
        yield "windows", "data_figures.window_layout(feature)", layout
    for fill in feature.ordered_interpolaters()[:1]:
        column = fill.matching_columns[0]
        call = f"data_figures.filled_column(splitset, {column!r})"
        yield "interpolation", call, data_figures.filled_column(splitset, column)


def of_training(queue: Queue, best: Prediction) -> Iterator[Drawn]:
    """Yield the figures that compare models and show how one learned."""
    performance = queue.plot_performance(call_display=False)
    yield "performance", "queue.plot_performance()", performance
    curves = best.predictor.plot_learning_curve(call_display=False)
    yield "learning_curve", "predictor.plot_learning_curve()", curves
    if best.feature_importance:
        bars = best.plot_feature_importance(call_display=False)
        yield "feature_importance", "prediction.plot_feature_importance()", bars


def judged(best: Prediction) -> Iterator[Drawn]:
    """Yield the figures that show how right the predictions are."""
    queue = best.predictor.job.queue
    if queue.algorithm.analysis_type == "regression":
        name = "predicted_and_true" if queue.splitset.label else "forecasts"
        yield name, f"data_figures.{name}(prediction)", getattr(data_figures, name)(best)
        return
    for name in ("roc_curve", "precision_recall", "confusion_matrix", "confidence"):
        drawn = getattr(best, f"plot_{name}")(call_display=False)
        yield name, f"prediction.plot_{name}()", drawn
    if queue.algorithm.analysis_type == "classification_binary":
        for name in ("calibrations", "threshold_curves"):
            yield name, f"figures.{name}(prediction)", getattr(figures, name)(best)


def page(drawn: dict[str, list[Picture]]) -> str:
    """Return the page with every figure alive."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>Figures</title><style>{STYLE}</style>',
        '<link rel="icon" href="data:,">',
        '<script src="plotly.min.js"></script></head>',
        "<body><h1>Figures</h1>",
    ]
    for name, pictures in drawn.items():
        parts.append(f"<h2>{name}</h2>")
        parts += [
            f'<section id="{p.slug}"><p><code>{html.escape(p.call)}</code></p>'
            + p.figure.to_html(
                full_html=False,
                include_plotlyjs=False,
                div_id=f"figure-{p.slug}",
                config={"displaylogo": False, "responsive": True},
            )
            + "</section>"
            for p in pictures
        ]
    return "\n".join([*parts, "</body></html>", ""])


def photograph(folder: Path, pictures: list[Picture], chromium: str) -> None:
    """Write a PNG of each figure as Chromium draws it.

    Raises:
        RuntimeError: the page logs an error.
    """
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": WIDTH + 100, "height": 900})
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((folder / "index.html").as_uri())
        for picture in pictures:
            shown = tab.locator(f"#figure-{picture.slug}")
            shown.locator("svg.main-svg").first.wait_for()
            shown.screenshot(path=folder / f"{picture.slug}.png", animations="disabled")
        browser.close()
    if errors:
        message = f"the page logs {errors}"
        raise RuntimeError(message)


def readme(drawn: dict[str, list[Picture]]) -> str:
    """Return the page with every figure as a picture."""
    lines = [
        "# Figures",
        "",
        "Written by `make gallery` from the demo experiments; `index.html`, which it writes",
        "beside this page, has the same figures alive. Of each experiment the best is shown.",
        "",
    ]
    for name, pictures in drawn.items():
        lines += [f"## {name}", ""]
        for picture in pictures:
            lines += [f"`{picture.call}`", "", f"![{picture.slug}]({picture.slug}.png)", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
