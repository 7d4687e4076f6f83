"""From reviews to the few integers that the statistics are made of.

Equal things are counted, not kept: how often a pattern of ratings occurs in a cluster, how often a
pair of raters judged so and so. A million ratings leave a few megabytes.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.queries.agreement.clicks import ClickAgreement, ClickPairs, match
from dirtmodel.queries.agreement.counting import Int32Array, KeyCounts, Patterns
from dirtmodel.queries.agreement.scan import Clicks, Clusters, Reviewers, Reviews, Standing
from dirtmodel.queries.agreement.summaries import one_against_rest
from dirtmodel.queries.agreement.tallies import IntArray, Margins

MOST_RATERS_IN_PAIRS: Final = 200
"""Pairs of more raters than these are not told apart: nobody reads 20,000 of them."""

_PATTERN_BITS: Final = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Counted:
    """One variable's ratings: what `coefficients` and `leave_one_out` take.

    Parameters
    ----------
    categories
        All of them, used or not.
    counts, clusters, multiplicity
        Rows × categories with the cluster of each row, and how many units it stands for.
    margins
        Of each rater within each cluster; one row for units with two ratings or more, and one for
        the others.
    pairable
        Which rows of `margins` are the former.
    """

    categories: tuple[str, ...]
    counts: Int32Array
    clusters: IntArray
    multiplicity: Int32Array
    margins: Margins
    pairable: npt.NDArray[np.bool_]

    def against_rest(self, category: int, names: tuple[str, str]) -> "Counted":
        """Merge all categories but one."""
        counts, rated = (
            one_against_rest(table, category).astype(np.int32)
            for table in (self.counts, self.margins.counts)
        )
        return dataclasses.replace(
            self,
            categories=names,
            counts=counts,
            margins=dataclasses.replace(self.margins, counts=rated),
        )

    def by_rater(self) -> dict[int, IntArray]:
        """Give how often each rater used each category."""
        raters, place = np.unique(np.asarray(self.margins.raters), return_inverse=True)
        used = np.zeros((len(raters), len(self.categories)), dtype=np.int64)
        np.add.at(used, place.reshape(-1), np.asarray(self.margins.counts))
        return dict(zip(raters.tolist(), used, strict=True))

    def margins_for(self, prevalence: str) -> Margins:
        """Give who rated what, of all units or of those with two ratings or more."""
        if prevalence == "all":
            return self.margins
        chosen = self.pairable
        return Margins(
            *(
                np.asarray(column)[chosen]
                for column in (self.margins.raters, self.margins.counts, self.margins.clusters)
            )
        )

    def counts_for(self, prevalence: str) -> tuple[Int32Array, IntArray, Int32Array]:
        """Give counts, clusters, multiplicity of the same units as `margins_for`."""
        if prevalence == "all":
            return self.counts, self.clusters, self.multiplicity
        used = self.counts.sum(axis=1) > 1
        return self.counts[used], self.clusters[used], self.multiplicity[used]


class _Variable:
    """Counts one variable, batch by batch."""

    def __init__(self, categories: tuple[str, ...], n_raters: int) -> None:
        self._categories = categories
        self._n_raters = max(n_raters, 1)
        self._patterns = Patterns(len(categories))
        self._units = KeyCounts()
        self._margins = KeyCounts(len(categories))
        self._others = KeyCounts()

    def add(
        self, unit: IntArray, cluster: IntArray, rater: IntArray, code: IntArray, *, each: bool
    ) -> None:
        """Count ratings, one per unit and rater; `unit` from 0, `each` for `leave_one_out`."""
        q = len(self._categories)
        n_units = int(unit[-1]) + 1
        counts = np.bincount(unit * q + code, minlength=n_units * q).reshape(n_units, q)
        total = counts.sum(axis=1)
        cluster_of_unit = np.zeros(n_units, dtype=np.int64)
        cluster_of_unit[unit] = cluster
        pattern = self._patterns.numbers(counts)
        rated = total > 0
        self._units.add((cluster_of_unit << _PATTERN_BITS | pattern)[rated])
        pairable = (total > 1)[unit]
        self._margins.add((cluster * self._n_raters + rater) * 2 + pairable, code)
        if each:
            self._others.add((rater * q + code) << _PATTERN_BITS | pattern[unit])

    def result(self) -> Counted:
        keys, multiplicity = self._units.result()
        patterns = self._patterns.rows()
        who, rated = self._margins.result()
        cluster = (who // (2 * self._n_raters)).astype(np.int32)
        rater = ((who >> 1) % self._n_raters).astype(np.int32)
        return Counted(
            self._categories,
            patterns[keys & ((1 << _PATTERN_BITS) - 1)],
            keys >> _PATTERN_BITS,
            multiplicity[:, 0],
            Margins(rater, rated, cluster),
            (who & 1).astype(np.bool_),
        )

    def each_rating(self) -> "EachRating":
        keys, multiplicity = self._others.result()
        counts = self._patterns.rows()[keys & ((1 << _PATTERN_BITS) - 1)]
        rater, code = np.divmod(keys >> _PATTERN_BITS, len(self._categories))
        return EachRating(rater, code, counts, multiplicity[:, 0])


@dataclasses.dataclass(frozen=True, eq=False)
class EachRating:
    """Rater (in order), category, the unit's counts, and how often: for `leave_one_out`."""

    raters: IntArray
    codes: IntArray
    counts: Int32Array
    multiplicity: Int32Array


@dataclasses.dataclass(frozen=True, eq=False)
class ClickInputs:
    """What only click steps have.

    `counts` are rows × `values`: how many raters clicked that many times, with the cluster of each
    row and the number of units it stands for. `matched` holds one result per tolerance.
    """

    values: tuple[int, ...]
    counts: IntArray
    clusters: Sequence[int]
    multiplicity: Sequence[int]
    n_nowhere: int
    matched: dict[float, ClickAgreement]


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Everything the statistics are made of.

    `pairs` maps (first rater, second rater) to a table, first down, second across, and `repeats`
    is such a table of a rater's earlier and later judgement; `repeated` holds the row ids of the
    two. What is of too many raters is None.
    """

    judged: Counted
    flagged: Counted
    n_unknown_sessions: int
    n_superseded: int
    each_rating: EachRating | None
    pairs: dict[tuple[int, int], Int32Array] | None
    repeats: IntArray
    repeated: IntArray
    clicks: ClickInputs | None


def count(
    batches: Iterable[Standing],
    reviewers: Reviewers,
    clusters: Clusters | None,
    *,
    categories: tuple[str, ...],
) -> Counted:
    """Count the judgement alone, which is all that its coefficients need; see `gather`."""
    judged = _Variable(categories, len(reviewers.names))
    n_units = 0
    for batch in batches:
        cluster = _cluster_of(clusters, batch.target, batch.unit + n_units)
        judged.add(batch.unit, cluster, batch.rater, batch.code, each=False)
        n_units += int(batch.unit[-1]) + 1
    return judged.result()


def _cluster_of(clusters: Clusters | None, target: IntArray, unit: IntArray) -> IntArray:
    """Give the cluster of each review: its target's, or its image itself."""
    return unit if clusters is None else clusters.cluster[np.searchsorted(clusters.targets, target)]


def gather(
    batches: Iterable[Reviews],
    reviewers: Reviewers,
    clusters: Clusters | None,
    *,
    categories: tuple[str, ...],
    tolerances: Sequence[float],
) -> Inputs:
    """Count everything in one pass.

    Parameters
    ----------
    batches, reviewers, clusters
        From `scan`; without clusters each unit is one.
    categories
        Of the judgement.
    tolerances
        Greatest distances of matched clicks, in pixels; none for verdicts.
    """
    counter = _Counter(reviewers, clusters, categories, tolerances)
    for batch in batches:
        counter.add(batch)
    return counter.result()


class _Counter:
    def __init__(
        self,
        reviewers: Reviewers,
        clusters: Clusters | None,
        categories: tuple[str, ...],
        tolerances: Sequence[float],
    ) -> None:
        self._reviewers = reviewers
        self._clusters = clusters
        self._q = len(categories)
        self._n_raters = max(len(reviewers.names), 1)
        self._judged = _Variable(categories, self._n_raters)
        self._flagged = _Variable(("NO_ISSUE", "ISSUE"), self._n_raters)
        self._pairs = KeyCounts(self._q**2)
        self._repeats = np.zeros((self._q, self._q), dtype=np.int64)
        self._repeated: list[IntArray] = [np.empty((0, 2), dtype=np.int64)]
        self._unknown = np.zeros(len(reviewers.sessions), dtype=bool)
        self._n_units = 0
        self._n_superseded = 0
        self._clicks = _ClickCounter(tolerances) if tolerances else None

    def add(self, batch: Reviews) -> None:
        self._unknown[batch.session] |= ~self._reviewers.known[batch.session]
        batch, rater, superseded = by_rater(batch, self._reviewers)
        before, after = superseded
        np.add.at(self._repeats, (before.code, after.code), 1)
        self._n_superseded += len(before.id)
        self._repeated.append(np.stack([before.id, after.id], axis=1))
        if not len(rater):
            return
        unit = np.unique(batch.unit, return_inverse=True)[1].reshape(-1)
        cluster = _cluster_of(self._clusters, batch.target, unit + self._n_units)
        self._n_units += int(unit[-1]) + 1
        self._judged.add(unit, cluster, rater, batch.code, each=self._few)
        self._flagged.add(unit, cluster, rater, batch.flagged, each=False)
        if self._few:
            self._add_pairs(unit, rater, batch.code)
        if self._clicks is not None and batch.clicks is not None:
            self._clicks.add(unit, cluster, batch.clicks)

    @property
    def _few(self) -> bool:
        return self._n_raters <= MOST_RATERS_IN_PAIRS

    def _add_pairs(self, unit: IntArray, rater: IntArray, code: IntArray) -> None:
        q = self._q
        for first, second in pairs_within(unit):
            raters = rater[first] * self._n_raters + rater[second]
            self._pairs.add(raters, code[first] * q + code[second])

    def result(self) -> Inputs:
        return Inputs(
            self._judged.result(),
            self._flagged.result(),
            int(self._unknown.sum()),
            self._n_superseded,
            self._judged.each_rating() if self._few else None,
            self._tables() if self._few else None,
            self._repeats,
            np.concatenate(self._repeated),
            None if self._clicks is None else self._clicks.result(),
        )

    def _tables(self) -> dict[tuple[int, int], Int32Array]:
        pairs, cells = self._pairs.result()
        tables = cells.reshape(-1, self._q, self._q)
        raters = (divmod(pair, self._n_raters) for pair in pairs.tolist())
        return dict(zip(raters, tables, strict=True))


def by_rater(
    batch: Reviews, reviewers: Reviewers
) -> tuple[Reviews, IntArray, tuple[Reviews, Reviews]]:
    """Give the latest review of each image and known rater, by image and rater.

    With them their raters, and what they supersede: each review that is followed by another of the
    same image and rater, beside that one.
    """
    rater = reviewers.rater[batch.session]
    batch, rater = batch.take(rater >= 0), rater[rater >= 0]
    key = batch.unit * max(len(reviewers.names), 1) + rater
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    superseded = batch.take(order[again]), batch.take(order[again + 1])
    latest = np.delete(order, again)
    return batch.take(latest), rater[latest], superseded


def pairs_within(unit: IntArray) -> Iterable[tuple[IntArray, IntArray]]:
    """Give the positions of all pairs of entries of one unit; units lie together.

    >>> [(a.tolist(), b.tolist()) for a, b in pairs_within(np.array([0, 0, 0, 1, 2, 2]))]
    [([0, 1, 4], [1, 2, 5]), ([0], [2])]
    """
    for apart in itertools.count(1):
        first = np.flatnonzero(unit[apart:] == unit[:-apart])
        if not len(first):
            return
        yield first, first + apart


class _ClickCounter:
    """Matches the clicks of every pair of raters on an image, and counts how many each made."""

    def __init__(self, tolerances: Sequence[float]) -> None:
        self._matched = {tolerance: ClickPairs() for tolerance in tolerances}
        self._counts: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
        self._n_nowhere = 0

    def add(self, unit: IntArray, cluster: IntArray, clicks: Clicks) -> None:
        self._n_nowhere += int((clicks.n - clicks.n_finite).sum())
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        numbers = clicks.n.tolist()
        for start, stop in itertools.pairwise([*starts.tolist(), len(unit)]):
            made = tuple(sorted(Counter(numbers[start:stop]).items()))
            self._counts[int(cluster[start]), made] += 1
        for first, second in pairs_within(unit):
            either = (clicks.n_finite[first] > 0) | (clicks.n_finite[second] > 0)
            n_clean = int((~either).sum())
            for pairs in self._matched.values():
                pairs.add_unclicked(n_clean)
            for i, j in zip(first[either].tolist(), second[either].tolist(), strict=True):
                a, b = clicks.of(i), clicks.of(j)
                for tolerance, pairs in self._matched.items():
                    pairs.add(match(a, b, tolerance))

    def result(self) -> ClickInputs:
        values = sorted({value for _, made in self._counts for value, _ in made})
        column = {value: n for n, value in enumerate(values)}
        counts: npt.NDArray[np.int64] = np.zeros((len(self._counts), len(values)), dtype=np.int64)
        for row, (_, made) in enumerate(self._counts):
            for value, n in made:
                counts[row, column[value]] = n
        return ClickInputs(
            tuple(values),
            counts,
            [cluster for cluster, _ in self._counts],
            list(self._counts.values()),
            self._n_nowhere,
            {tolerance: pairs.summary() for tolerance, pairs in self._matched.items()},
        )
