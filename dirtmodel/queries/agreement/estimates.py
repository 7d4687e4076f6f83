"""Formulas evaluated on tallies: values, linearised errors, and the bootstrap.

No coefficient has a variance formula of its own. The delta method needs the gradient of a formula
by its sums, and the complex step gives it: f(s + ih) has f'(s) h as its imaginary part, exact to
rounding because nothing is subtracted (Squire & Trapp 1998). The bootstrap evaluates the same
formula on resampled sums.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from dirtmodel.queries.agreement.formulas import (
    Array,
    Formula,
    Request,
    Sums,
    conger_chance,
    conger_gradient,
    ordinal_metric,
)
from dirtmodel.queries.agreement.tallies import Tallies
from dirtmodel.queries.agreement.weights import FloatArray

_STEP: Final = 1e-30
# Numbers that one block of bootstrap replicates may draw: 8 MB.
_BLOCK: Final = 1 << 20


class Spread(NamedTuple):
    """A standard error and its interval, or a reason why not all is as it should be."""

    se: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Estimator:
    """What was asked for, on the data it was asked of."""

    request: Request
    tallies: Tallies

    @functools.cached_property
    def formulas(self) -> list[Formula]:
        """The formulas asked for."""
        return list(self.request.formulas())

    @functools.cached_property
    def values(self) -> FloatArray:
        """Each formula's value; NaN where undefined."""
        t = self.tallies
        coincidence = np.tensordot(t.multiplicity, t.coincidence, axes=1)
        return self._evaluated(self._total, self._conger(t.margins_total), 0.0, coincidence)

    def linearised(self, confidence: float) -> Iterator[Spread]:
        """Give each formula's error over independent rows, with Student's t."""
        from scipy.special import stdtrit

        repeats, n = self.tallies.multiplicity, self.tallies.n_rows
        influence = self._influence()
        centred = influence - repeats @ influence / n
        errors = np.sqrt(n / (n - 1) * (repeats @ centred**2))
        halves = float(stdtrit(n - 1, (1 + confidence) / 2)) * errors
        for value, se, half in zip(self.values, errors, halves, strict=True):
            yield Spread(float(se), float(value - half), min(1.0, float(value + half)))

    def bootstrapped(self, replicates: int, seed: int, confidence: float) -> Iterator[Spread]:
        """Give each formula's deviation and percentiles over resampled rows."""
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        for values in self._replicates(replicates, seed):
            defined = values[np.isfinite(values)]
            n_undefined = replicates - len(defined)
            note = f"undefined in {n_undefined} of {replicates} bootstrap replicates"
            if n_undefined > replicates // 2:
                yield Spread(None, None, None, note)
                continue
            low, high = np.quantile(defined, tails).tolist()
            se = float(defined.std(ddof=1))
            yield Spread(se, low, min(1.0, high), note if n_undefined else None)

    @functools.cached_property
    def _rows(self) -> FloatArray:
        t = self.tallies
        columns = [t.pairable[:, None], t.rated[:, None], t.shares, t.values]
        return np.concatenate([*columns, t.agreement, t.disagreement], axis=1)

    @functools.cached_property
    def _total(self) -> FloatArray:
        return np.asarray(self.tallies.multiplicity @ self._rows)

    def _evaluated(
        self, total: Array, conger: Array, ordinal: Array | float, coincidence: Array
    ) -> Array:
        """Evaluate all formulas: formulas × leading axes of the sums, … × columns of `_rows`."""
        q = self.tallies.shares.shape[1]
        ends = np.cumsum([1, 1, q, q, self.tallies.agreement.shape[1]])
        pairable, rated, shares, values, agreement, disagreement = np.split(total, ends, axis=-1)
        sums = Sums(
            pairable[..., 0],
            rated[..., 0],
            shares,
            values,
            agreement,
            disagreement,
            conger,
            np.asarray(ordinal),
            coincidence,
        )
        return np.stack([formula.of(sums) for formula in self.formulas])

    def _conger(self, margins: FloatArray | None) -> FloatArray:
        """Chance agreement per weights matrix, last; margins are … × raters × q."""
        matrices = self.request.matrices.values()
        if margins is None:
            return np.full(len(matrices), np.nan)
        chances = [conger_chance(margins, w) for w in matrices]
        return np.stack(chances, axis=-1) if chances else np.empty((*margins.shape[:-2], 0))

    def _influence(self) -> FloatArray:
        """Give rows × formulas: the first-order change of a formula by one more such row."""
        t = self.tallies
        moves = [self._rows, self._conger_moves(), self._ordinal_moves()]
        conger = np.nan_to_num(self._conger(t.margins_total))
        point = np.concatenate([self._total, conger, [0.0]])
        steps = point + 1j * _STEP * np.eye(len(point))
        ends = np.cumsum([len(self._total), len(conger)])
        total, stepped_conger, ordinal = np.split(steps, ends, axis=1)
        coincidence = np.tensordot(t.multiplicity, t.coincidence, axes=1)
        values = self._evaluated(total, stepped_conger, ordinal[:, 0], coincidence)
        # Undefined formulas have no gradient; their error is not looked at.
        return np.concatenate(moves, axis=1) @ np.nan_to_num(values.imag.T / _STEP)

    def _conger_moves(self) -> FloatArray:
        """Give rows × weights matrices: what a row's margins do to Conger's chance agreement."""
        t = self.tallies
        moves = np.zeros((len(self._rows), len(self.request.matrices)))
        if t.margins is not None and t.margins_total is not None:
            for column, w in enumerate(self.request.matrices.values()):
                gradient = conger_gradient(t.margins_total, w)
                moves[:, column] = sum(
                    matrix @ slope for matrix, slope in zip(t.margins, gradient.T, strict=True)
                )
        return moves

    def _ordinal_moves(self) -> FloatArray:
        """Give rows × 1: a row's ordinal disagreement, by the metric of the whole."""
        t = self.tallies
        if not self.request.is_ordinal:
            return np.zeros((len(self._rows), 1))
        metric = ordinal_metric(t.multiplicity @ t.values)
        return np.asarray(np.einsum("ikl,kl->i", t.coincidence, metric))[:, None]

    def _replicates(self, replicates: int, seed: int) -> FloatArray:
        """Give formulas × replicates."""
        t = self.tallies
        random = np.random.default_rng(seed)
        n = round(t.n_rows)
        width = len(t.multiplicity) + self._rows.shape[1] + t.coincidence[:1].size
        width += 0 if t.margins is None or t.margins_total is None else t.margins_total.size
        block = max(1, _BLOCK // width)
        drawn = []
        for start in range(0, replicates, block):
            size = min(block, replicates - start)
            repeats = random.multinomial(n, t.multiplicity / t.n_rows, size=size).astype(np.float64)
            conger = np.full((size, len(self.request.matrices)), np.nan)
            if t.margins is not None and t.margins_total is not None:
                drawn_margins = [(matrix.T @ repeats.T).T for matrix in t.margins]
                conger = self._conger(np.stack(drawn_margins, axis=-1))
            coincidence = np.tensordot(repeats, t.coincidence, axes=1)
            drawn.append(self._evaluated(repeats @ self._rows, conger, 0.0, coincidence))
        return np.concatenate(drawn, axis=1)
