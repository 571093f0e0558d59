"""The look that all figures share."""

from __future__ import annotations

import functools
import itertools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# The palettes of Okabe and Ito and of Tol, told apart under all usual forms of colour blindness.
COLORS = {
    "source_only": "#7A828C",
    "source_only_blind": "#B4BAC1",
    "statistics_only": "#56B4E9",
    "dann": "#0072B2",
    "cdan": "#E69F00",
    "mcc": "#CC79A7",
    "mmd": "#882255",
    "coral": "#999933",
    "mcd": "#332288",
    "shot": "#D55E00",
    "train_on_both": "#66BFA4",
    "train_on_target": "#009E73",
}


OTHER_COLORS = (
    *("#D55E00", "#882255", "#E69F00", "#332288", "#AA4499", "#999933", "#44AA99"),
    # For studies of many rows; no twenty colours are told apart by everybody.
    *("#661100", "#117733", "#6699CC", "#DDAA33", "#EE3377", "#AA7744", "#225555", "#BBCC33"),
    *("#7B5EA7", "#994455", "#004488", "#EE99AA", "#555555", "#BB5566", "#99DDFF", "#AAAA00"),
)


INK, FAINT_INK, LINE, GRID = "#24292F", "#6B737C", "#C9CED4", "#EDF0F2"


WIDTH = 8.0  # inches; at DPI this is the width at which a README shows a figure


DPI = 150


LEGEND_LETTERS = 100  # that one line of a legend has room for


MAX_LEGEND_COLUMNS = 4


PANEL_LETTERS = 42  # that the title of a panel of half the width has room for


STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    # Names of methods and classes are shown as they are, a dollar sign included.
    "text.parse_math": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": FAINT_INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": LINE,
    "xtick.labelcolor": FAINT_INK,
    "ytick.color": LINE,
    "ytick.labelcolor": FAINT_INK,
    "legend.frameon": False,
}


def colors_of(rows: Iterable[str]) -> dict[str, str]:
    """Gives every row a colour, to be the same in all figures of a task.

    Args:
        rows: Names of all rows of the task, in order.

    Returns:
        Colours by row: a known method has always its own, the others take what is left in turn.
    """
    names = list(rows)
    taken = [COLORS[name] for name in names if name in COLORS]
    left = [color for color in OTHER_COLORS if color not in taken] or OTHER_COLORS
    turns = itertools.cycle(left)
    return {name: COLORS.get(name) or next(turns) for name in names}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Makes a figure in the common style, whatever the caller's settings are.

    Args:
        draw: Returns a figure.

    Returns:
        The same function, under the style.
    """

    @functools.wraps(draw)
    def draw_styled(*args: Any, **kwargs: Any) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)  # pyright: ignore
            figure = draw(*args, **kwargs)
            # Ticks take the style when they are made, which is when they are first drawn.
            figure.draw_without_rendering()
            # The places are found; to find them again for the file would take as long.
            figure.set_layout_engine("none")
        return figure

    return draw_styled


def make_figure(height: float, title: str) -> Figure:
    """Makes an empty figure.

    Args:
        height: In inches.
        title: Above the figure; long ones are folded.

    Returns:
        The figure, `WIDTH` inches wide.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    figure.suptitle(textwrap.fill(title, 78), x=0.012, ha="left")
    return figure


def fold_title(text: str) -> str:
    """Breaks the title of a panel that is half as wide as its figure into lines.

    Args:
        text: The title.

    Returns:
        The same text in lines.
    """
    return textwrap.fill(text, PANEL_LETTERS)


def legend_columns(entries: Iterable[str]) -> int:
    """Counts the names that one line of a legend below a figure has room for.

    Args:
        entries: All names.

    Returns:
        At least one.
    """
    lengths = [len(name) for name in entries]
    # Beside each name stands its mark.
    return max(1, min(len(lengths), MAX_LEGEND_COLUMNS, LEGEND_LETTERS // (max(lengths) + 4)))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a picture of at most 256 colours, a third of the size of all colours.

    Equal figures give equal files.

    Args:
        figure: The figure.
        path: A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    # This choice of colours leaves the frequent ones, such as white and those of the rows, alone.
    picture.quantize(256, Image.Quantize.MEDIANCUT).save(path)


def write(
    axes: Axes, place: Sequence[Any], unit: Any, text: str, offset: Sequence[Any], **style: Any
) -> None:
    """Writes text beside a place.

    Args:
        axes: Where.
        place: The place.
        unit: The unit of the place, as in Matplotlib's `xycoords`.
        text: The text.
        offset: Distance from the place, in points of 1/72 inch.
        **style: Properties of the text.
    """
    axes.annotate(
        text,
        tuple(place),
        xycoords=unit,
        xytext=tuple(offset),
        textcoords="offset points",
        annotation_clip=False,
        **style,
    )
