"""The picture: rows a second against rows a request, one line a client."""

from __future__ import annotations

from pathlib import Path

Lines = dict[str, list[tuple[int, float]]]


def draw(path: Path, panels: dict[int, Lines]) -> None:
    """Draw one panel for each number of requests in flight, if matplotlib is installed.

    Args:
        path: the SVG file.
        panels: by requests in flight and client, pairs of rows a request and rows a second.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional

        mpl.use("svg")
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError:
        print(f"matplotlib is not installed, so {path.name} is not drawn")
        return
    mpl.rcParams["svg.hashsalt"] = path.name
    figure, axes = plt.subplots(1, len(panels), figsize=(7 * len(panels), 4.5), squeeze=False, sharey=True)
    for axis, (in_flight, lines) in zip(axes[0], sorted(panels.items()), strict=True):
        for client, points in lines.items():
            axis.plot(*zip(*sorted(points), strict=True), marker="o", label=client)
        sizes = sorted({size for points in lines.values() for size, _ in points})
        axis.set(xscale="log", yscale="log", xlabel="rows a request", title=f"{in_flight} requests in flight")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.3)
    axes[0][0].set_ylabel("rows a second")
    axes[0][0].legend()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def draw_scaling(path: Path, speeds: dict[int, float], limit: float) -> None:
    """Draw rows a second against tasks, with what the server can do, if matplotlib is installed.

    Args:
        path: the SVG file.
        speeds: rows a second, by the number of tasks.
        limit: rows a second that the server gives at most.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional

        mpl.use("svg")
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError:
        print(f"matplotlib is not installed, so {path.name} is not drawn")
        return
    mpl.rcParams["svg.hashsalt"] = path.name
    figure, axis = plt.subplots(figsize=(6, 4))
    tasks = sorted(speeds)
    axis.plot(tasks, [speeds[count] for count in tasks], marker="o", label="measured")
    even = [min(speeds[tasks[0]] * count, limit) for count in tasks]
    axis.plot(tasks, even, linestyle=":", color="gray", label="as many times one task, up to the limit")
    axis.axhline(limit, linestyle="--", color="gray", alpha=0.6, label="what the server gives at most")
    axis.set(xlabel="tasks, each with one request in flight", ylabel="rows a second")
    axis.set_xticks(tasks)
    axis.set_ylim(bottom=0)
    axis.grid(visible=True, alpha=0.3)
    axis.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
