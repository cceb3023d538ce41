"""A matrix file as a whole: from its text, with a command line over it, to the plan of what is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from harness.config.experiment import ExperimentBuilder, Request
from harness.config.matrix.cells import AxisEntry, MatrixCell, cells_of, said_for_all
from harness.config.matrix.gate import check_margins, counted_metrics
from harness.config.matrix.layers import Layer, Says, check_label, laid_over, read_layers
from harness.config.waivers import check_waivers, load_waivers
from harness.errors import ConfigError
from harness.model.matrix import Cell, GatePolicy, MatrixPlan, Waiver
from harness.model.workload import Workload

# Attributes of Request that are of the whole matrix.
_WHOLE = ("accelerator", "connect", "json", "html")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFile:
    """What a matrix file asks for, checked but for its kernels and workloads."""

    # Name of the matrix: what the file says, else its stem.
    title: str
    path: Path
    # In the order of the axes, the last one fastest; included ones last.
    cells: tuple[MatrixCell, ...]
    # What `kab gate` and `kab nightly` demand; its defaults where the file does not say.
    policy: GatePolicy = field(default_factory=GatePolicy)
    waivers: tuple[Waiver, ...] = ()
    # Kernel specs whose newest kernels `kab nightly` measures.
    series: tuple[str, ...] = ()
    # How many kernels of a series it measures where several are new, the newest ones.
    newest: int = 1
    # As in Request: one of ACCELERATORS, a libvirt URI, files for results; None is what nobody says.
    accelerator: str | None = None
    connect: str | None = None
    json: Path | None = None
    html: Path | None = None
    # Where margins of metrics are said: metric or pattern -> FILE:LINE.
    margin_places: Mapping[str, str] = field(default_factory=dict)
    # "baseline", "candidate" -> the entry of an axis that says it of its cells.
    kernels_by_axis: Mapping[str, AxisEntry] = field(default_factory=dict)

    def plan(
        self,
        *,
        catalogue: Mapping[str, Workload],
        baseline: str | None = None,
        candidate: str | None = None,
        gate: bool = False,
        kernels_later: bool = False,
    ) -> MatrixPlan:
        """What is measured, every cell checked; kernels given here are those of all cells, whatever the file says.

        `catalogue`: the workloads that ship with kab, by name. `gate`: with policy and waivers, else every cell is a
        comparison of its own. `kernels_later`: those that nobody names are "" for now, and not demanded. Cells with
        equal parts share them. Raises ConfigError with FILE:LINE, and with the cell
        where something of one does not fit or a kernel is missing.
        """
        for arm, spec in (("baseline", baseline), ("candidate", candidate)):
            if spec is not None and arm in self.kernels_by_axis:
                raise said_for_all(arm, self.kernels_by_axis[arm])
        builder = ExperimentBuilder(catalogue)
        cells = []
        for cell in self.cells:
            try:
                experiment = builder.build(cell.request, baseline=baseline, candidate=candidate)
            except ConfigError as error:
                raise _of_cell(error, cell) from error
            if not kernels_later and not (experiment.baseline and experiment.candidate):
                arm = "candidate" if experiment.baseline else "baseline"
                raise ConfigError(
                    f"{cell.where}: no {arm} kernel is named for the cell {cell.name}",
                    remedy=f"Give --{arm} SPEC, or write `{arm}: SPEC` in {self.path}.",
                )
            cells.append(Cell(name=cell.name, axes=cell.axes, experiment=experiment))
        whole = tuple(cells)
        check_margins(self.policy, self.margin_places, whole)
        # Where nothing counts, only a gate cannot be.
        if gate or self.waivers:
            check_waivers(self.waivers, self._on_series(counted_metrics(whole, self.policy)))
        return MatrixPlan(
            title=self.title,
            cells=whole,
            policy=self.policy if gate else None,
            waivers=self.waivers if gate else (),
        )

    def _on_series(self, counted: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """Cells as a gate calls them, and as `kab nightly` does: one file of waivers serves both."""
        if not self.waivers:
            return counted
        return counted | {f"{series}/{cell}": names for series in self.series for cell, names in counted.items()}


def load_matrix(path: Path, *, over: Request | None = None) -> MatrixFile:
    """What a matrix file asks for; an experiment file is a matrix of one cell. Raises ConfigError with FILE:LINE.

    `over`: the command line, over what the file says for all cells; it may not say what an axis says for each.
    """
    layer = read_layers(path)
    if layer.title is None:
        check_label("name of the file", path.stem, f"{path}")
    title = layer.title.text if layer.title else path.stem
    asked = _said(over or Request())
    whole = {name: value for name in _WHOLE if (value := laid_over(layer.says, asked).get(name)) is not None}
    cells = cells_of(replace(layer, says=_of_cells(layer.says)), title, _of_cells(asked))
    return MatrixFile(
        title=title,
        path=path,
        cells=cells,
        policy=GatePolicy(**layer.gate),
        waivers=_waivers(layer),
        series=layer.series or (),
        newest=layer.newest or 1,
        margin_places=layer.gate_places,
        kernels_by_axis={
            arm: AxisEntry(axis=axis.name, where=entry.where)
            for arm in ("baseline", "candidate")
            for axis in layer.axes.values()
            for entry in axis.entries.values()
            if arm in entry.says
        },
        **whole,
    )


def _said(request: Request) -> Says:
    values = {one.name: getattr(request, one.name) for one in fields(Request)}
    return {name: value for name, value in values.items() if value is not None and (name != "overrides" or value)}


def _waivers(layer: Layer) -> tuple[Waiver, ...]:
    if layer.waivers is None:
        return ()
    try:
        return load_waivers(layer.waivers)
    except ConfigError as error:
        if error.message.startswith(f"{layer.waivers}:"):
            raise
        # A file that is not there: where it is named says more.
        raise ConfigError(f"{layer.waivers_where}: {error.message}", remedy=error.remedy) from error


def _of_cells(says: Says) -> Says:
    return {name: value for name, value in says.items() if name not in _WHOLE}


def _of_cell(error: ConfigError, cell: MatrixCell) -> ConfigError:
    """The error of a cell with its name, and with a place where it has none yet."""
    request = cell.request
    places = [said.where for said in (request.workload, request.metric, *request.overrides.values()) if said]
    if any(error.message.startswith(f"{place}: ") for place in places):
        return ConfigError(f"{error.message} (cell {cell.name})", remedy=error.remedy)
    return ConfigError(f"{cell.where}: cell {cell.name}: {error.message}", remedy=error.remedy)
