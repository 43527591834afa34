"""What a run made: draws, statistics, timings, and the ways out to other libraries."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from livenuts.compiler.portable import to_plain
from livenuts.diagnostics import Summary, energy_remarks, fit_remarks, import_pandas, scalar_names, summarize
from livenuts.runtime.checkpoint import decode, encode
from livenuts.tuning import Tuning

_FORMAT = "livenuts.result/2"


@dataclass(frozen=True, eq=False)
class Continuation:
    """What `ln.extend` goes on from."""

    state: dict[str, Any]
    """Of the chains, as plain data."""
    warm_start: bool
    model: Any
    """The model that was sampled; as plain data, or None, in a result that was loaded."""
    digest: Callable[[], str]
    """Of the model and its data."""


@dataclass(frozen=True, eq=False)
class Result:
    """The posterior draws of a run and how they were made."""

    model: str
    draws: dict[str, np.ndarray]
    """Constrained draws by variable, each (chain, draw, *shape)."""
    stats: dict[str, np.ndarray]
    """Sampler statistics by name, each (chain, draw): lp, energy, acceptance_rate, step_size, n_steps, tree_depth,
    diverging, index_in_trajectory, recovered, reached_max_treedepth."""
    timings: dict[str, float]
    """Seconds: "compile", and the slowest chain's "warmup" and "sampling"."""
    tuning: Tuning
    """Step sizes, metrics and last positions: pass it as `warm_start`."""
    seed: int
    settings: dict[str, Any]
    status: str
    """completed, stopped, interrupted or failed."""
    lengths: list[int]
    """Draws that each chain made; `draws` is cut to the shortest that made any."""
    dims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    coords: dict[str, list[Any]] = field(default_factory=dict)
    observed: dict[str, np.ndarray] = field(default_factory=dict)
    continuation: Continuation | None = field(default=None, repr=False)
    """What `ln.extend` goes on from."""
    method: str = "nuts"
    """nuts, advi, pathfinder or smc."""
    fit: dict[str, Any] = field(default_factory=dict)
    """What the method says of itself: see `ln.advi`, `ln.pathfinder`, `ln.smc`."""

    @property
    def num_chains(self) -> int:
        """Chains in `draws`."""
        return int(self.stats["lp"].shape[0])

    @property
    def num_draws(self) -> int:
        """Draws a chain in `draws`."""
        return int(self.stats["lp"].shape[1])

    def summary(self) -> Summary:
        """Mean, sd, quantiles, MCSE, effective sample sizes and R-hat of every scalar; it prints as a table."""
        remarks = fit_remarks(self.method, self.fit)
        if "energy" in self.stats:
            remarks += energy_remarks(self.stats["energy"])
        groups = self.settings.get("num_superchains") if self.num_chains == self.settings.get("num_chains") else None
        return summarize(self.draws, int(self.stats["diverging"].sum()), remarks, groups)

    def report(self) -> str:
        """What went wrong, where divergent draws lie, and what to try, in words."""
        from livenuts.advice import report

        return report(self)

    def __repr__(self) -> str:
        return (
            f"<Result of {self.model!r}: {self.num_chains} chains of {self.num_draws} draws of "
            f"{', '.join(self.draws)}; {self.status}>"
        )

    # -- to other libraries ----------------------------------------------------------------------------------------

    def groups(self) -> dict[str, dict[str, np.ndarray]]:
        """The result as ArviZ's groups: posterior, sample_stats, observed_data."""
        found = {"posterior": self.draws, "sample_stats": self.stats}
        return found | ({"observed_data": self.observed} if self.observed else {})

    def to_arviz(self, **more: Mapping[str, np.ndarray]) -> Any:
        """ArviZ's container: an InferenceData before ArviZ 1.0, an xarray DataTree since.

        `more` are further groups of arrays by name: `log_likelihood=ln.log_likelihood(result)`, or predictive draws,
        (chain, draw, *shape) each; where the group's name begins with prior, (draw, *shape).
        """
        try:
            import arviz
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ: pip install 'livenuts[arviz]'") from error
        import livenuts

        attrs = {
            "inference_library": "livenuts",
            "inference_library_version": livenuts.__version__,
            "sampling_time": self.timings["warmup"] + self.timings["sampling"],
            "tuning_steps": int(self.tuning.num_warmup.max()),
            "seed": self.seed,
        }
        groups: dict[str, Any] = dict(self.groups())
        for group, members in more.items():
            prior = group.startswith("prior")
            groups[group] = {name: np.asarray(values)[None] if prior else values for name, values in members.items()}
        dims = {name: list(dims) for name, dims in self.dims.items()}
        if int(arviz.__version__.split(".")[0]) >= 1:
            named = {"/": attrs, "posterior": attrs}
            return arviz.from_dict(groups, coords=self.coords, dims=dims, attrs=named)
        data = arviz.from_dict(**groups, coords=self.coords, dims=dims)
        data.posterior.attrs.update(attrs)
        return data

    def to_pandas(self) -> Any:
        """The draws as a pandas DataFrame: a row a draw, indexed by chain and draw, a column a scalar."""
        pandas = import_pandas()
        index = pandas.MultiIndex.from_product([range(self.num_chains), range(self.num_draws)], names=["chain", "draw"])
        columns: dict[str, np.ndarray] = {}
        for name, values in self.draws.items():
            flat = values.reshape(self.num_chains * self.num_draws, -1)
            columns.update(zip(scalar_names(name, values.shape[2:]), flat.T, strict=True))
        return pandas.DataFrame(columns, index=index)

    def plot_trace(self, names: Iterable[str] | str | None = None) -> Any:
        """Histograms and traces of the chains, a row a scalar, divergent draws marked; a matplotlib Figure.

        `names` are variables; all of them, up to 20 scalars, where it is left out.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plot_trace needs matplotlib: pip install 'livenuts[plot]'") from error
        wanted = list(self.draws) if names is None else [names] if isinstance(names, str) else list(names)
        unknown = [name for name in wanted if name not in self.draws]
        if unknown:
            raise ValueError(f"plot_trace: no variable {unknown[0]!r}; variables are {', '.join(self.draws)}")
        if not self.num_draws:
            raise ValueError("plot_trace: the result holds no draws")
        scalars = []
        for name in wanted:
            flat = self.draws[name].reshape(self.num_chains, self.num_draws, -1)
            scalars += list(zip(scalar_names(name, self.draws[name].shape[2:]), np.moveaxis(flat, 2, 0), strict=True))
        scalars = scalars[:20] if names is None else scalars
        figure, axes = plt.subplots(
            len(scalars),
            2,
            figsize=(10, 1.9 * len(scalars)),
            squeeze=False,
            width_ratios=(1, 2),
            layout="constrained",
        )
        diverging = self.stats["diverging"]
        for (label, values), (left, right) in zip(scalars, axes, strict=True):
            edges = np.histogram_bin_edges(values, bins=40)
            for chain, line in enumerate(values):
                colour = f"C{chain % 10}"
                left.hist(line, bins=edges, density=True, histtype="step", color=colour, linewidth=1.2)
                right.plot(line, color=colour, linewidth=0.5, alpha=0.8)
                where = np.flatnonzero(diverging[chain])
                right.plot(where, line[where], "|", color="black", markersize=8)
            left.set_ylabel(label)
            left.set_yticks([])
        axes[-1, 1].set_xlabel("draw")
        return figure

    def plot(self, kind: str, *, groups: Mapping[str, Mapping[str, np.ndarray]] | None = None, **arguments: Any) -> Any:
        """A plot by ArviZ: `plot("pair")` is `arviz.plot_pair(result.to_arviz(), ...)`. Which there are is ArviZ's.

        `groups` are further ones for `to_arviz`: `plot("ppc", groups={"posterior_predictive": draws})`.
        """
        data = self.to_arviz(**groups or {})
        import arviz

        function = getattr(arviz, f"plot_{kind}", None)
        if function is None:
            known = ", ".join(sorted(name[5:] for name in dir(arviz) if name.startswith("plot_")))
            raise ValueError(f"ArviZ {arviz.__version__} has no plot {kind!r}; it has {known}")
        return function(data, **arguments)

    # -- to a file -------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write everything to one file (NumPy's zip format, without pickle), whole or not at all."""
        whole = {
            "format": _FORMAT,
            "model": self.model,
            "timings": self.timings,
            "tuning": self.tuning.to_json(),
            "seed": self.seed,
            "settings": self.settings,
            "status": self.status,
            "lengths": self.lengths,
            "dims": {name: list(dims) for name, dims in self.dims.items()},
            "coords": self.coords,
            "method": self.method,
        }
        arrays = {
            f"{group}/{name}": values
            for group, members in (("draws", self.draws), ("stats", self.stats), ("observed", self.observed))
            for name, values in members.items()
        }
        if self.continuation is not None:
            arrays["continuation"] = np.frombuffer(self._continuation_as_bytes(), np.uint8)
        if self.fit:
            arrays["fit"] = np.frombuffer(encode(self.fit), np.uint8)
        whole["arrays"] = list(arrays)
        destination = Path(path)
        partial = destination.with_name(destination.name + ".partial")
        try:
            with partial.open("wb") as file:
                text = np.frombuffer(json.dumps(whole, default=_plain).encode(), np.uint8)
                np.savez_compressed(file, allow_pickle=False, whole=text, **arrays)
            partial.replace(destination)
        finally:
            partial.unlink(missing_ok=True)

    def _continuation_as_bytes(self) -> bytes:
        assert self.continuation is not None
        model = self.continuation.model
        try:
            model = model if model is None or isinstance(model, dict) else to_plain(model)
            encode(model)
        except TypeError:  # it has no import path: extend will ask for it
            model = None
        kept = self.continuation
        return encode({"state": kept.state, "warm_start": kept.warm_start, "model": model, "digest": kept.digest()})

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a result that `save` wrote; anything else is a ValueError."""
        with open(path, "rb") as file:
            try:
                if not zipfile.is_zipfile(file):
                    raise ValueError("no NumPy archive")
                file.seek(0)
                return cls._read(file)
            except Exception as error:  # a damaged archive fails in many ways
                raise ValueError(f"{path} is not a livenuts result: {error}") from error

    @classmethod
    def _read(cls, file: IO[bytes]) -> Result:
        with np.load(file, allow_pickle=False) as archive:
            whole = json.loads(archive["whole"].tobytes())
            if whole.pop("format") != _FORMAT:
                raise ValueError("another format")
            if missing := sorted({"whole", *whole.pop("arrays")} ^ set(archive.files)):
                raise ValueError(f"arrays {missing} are lost")
            groups: dict[str, dict[str, np.ndarray]] = {"draws": {}, "stats": {}, "observed": {}}
            for entry in archive.files:
                group, _, name = entry.partition("/")
                if group in groups:
                    groups[group][name] = archive[entry]
            if "continuation" in archive.files:
                kept = decode(archive["continuation"].tobytes())
                digest = kept.pop("digest")
                whole["continuation"] = Continuation(digest=lambda: digest, **kept)
            if "fit" in archive.files:
                whole["fit"] = decode(archive["fit"].tobytes())
        whole["tuning"] = Tuning.from_json(whole["tuning"])
        whole["dims"] = {name: tuple(dims) for name, dims in whole["dims"].items()}
        fields: dict[str, Any] = whole | groups
        return cls(**fields)


def _plain(value: Any) -> Any:
    """Coordinate labels as JSON knows them."""
    return value.item() if isinstance(value, np.generic) else str(value)
