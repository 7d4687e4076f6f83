"""The sessions and reviews of raters of different strictness.

The code is vectorised, so that a million reviews take seconds.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dirtmodel.sample.images import START, Floats, Images, Ints, ids
from dirtmodel.sample.recipe import DTIFIT, FMAP, MASK, NORMALIZATION, SURFACE, Recipe

Bools = npt.NDArray[np.bool_]

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
UNSURE_FROM, FAIL_FROM = 0.38, 0.60
"""The scores from which a rater chooses UNSURE and FAIL."""
STRICTNESS: Final = 0.12
"""The score that the strictest rater adds to the severity, and the most lenient one subtracts."""
DISAGREEMENT: Final = 0.06
"""Standard deviation of the random part of a score."""
NO_NOTE: Final = -1
NOTED, BLAMED = 0.08, 0.15
"""Shares of reviews with a note, and of unfavourable reviews that report a source data issue."""

_REVIEW_COLUMNS: Final = ("image", "session", "created", "score", "by_verdict")

RATERS: Final = (
    *("amoreno", "bkowalski", "cdiallo", "dnguyen", "ehaddad", "fjohansson", "gokafor", "htanaka"),
)
NOTES: Final = (
    "mask leaves out the pole",
    "skull included",
    "slight shift",
    "motion",
    "looks fine apart from the edge",
    "contour misses a gyrus",
)
AWKWARD_NOTES: Final = (
    "señal perdida – lóbulo frontal (≥ 2 cm) 🧠",
    'commas, and "quotes", and both: ","',
    '"starts with a quote',
    "first line\\r\\nsecond line",
    "tab\\there",
    "back\\\\slash",
    "<script>alert('x')</script>",
    "NULL",
    "NA",
    "nan",
    "a real newline\nand a real\ttab",
    "'; DROP TABLE rating; --",
)


@dataclass(frozen=True)
class Sessions:
    """All sessions in the order of their beginning; `rater` is an index, or -1 without a user."""

    id: Ints
    step: Ints
    rater: Ints
    created: Ints


@dataclass(frozen=True)
class Reviews:
    """All reviews, one row each, before they become rows of `rating` or `coordinate`.

    `session` and `image` are positions in their tables. `score` is the severity that a rater sees.
    """

    image: Ints
    session: Ints
    created: Ints
    score: Floats
    by_verdict: Bools

    def __len__(self) -> int:
        return len(self.image)

    def take(self, which: Ints) -> "Reviews":
        """Return the reviews at these positions."""
        return Reviews(*(getattr(self, column)[which] for column in _REVIEW_COLUMNS))

    def plus(self, other: "Reviews") -> "Reviews":
        """Return these reviews, followed by the other ones."""
        both = ((getattr(self, c), getattr(other, c)) for c in _REVIEW_COLUMNS)
        return Reviews(*(np.concatenate(pair) for pair in both))


def rater_names(n: int) -> list[str]:
    """Return the names of n users, from the most lenient to the strictest."""
    return [*RATERS[:n], *(f"rater{i}" for i in range(len(RATERS) + 1, n + 1))]


def make_reviews(
    images: Images, recipe: Recipe, rng: np.random.Generator
) -> tuple[Sessions, Reviews]:
    """Return all sessions and reviews."""
    image, rater = _assignments(images, recipe, rng)
    step = images.step[image]
    order = np.lexsort((rng.random(len(image)), step, rater))
    image, rater, step = image[order], rater[order], step[order]

    group = _runs(rater * len(images) + step)
    position = np.arange(len(group)) - _starts(group)
    sitting = _runs(group * len(group) + position // recipe.session_length)
    first = np.flatnonzero(np.diff(sitting, prepend=-1))
    began = START + 2 * DAY + rng.integers(0, 120 * DAY, len(first))
    rank = np.argsort(np.argsort(began))
    pause = rng.integers(3 * SECOND, 15 * SECOND, len(image))
    elapsed = np.cumsum(pause)
    elapsed -= (elapsed - pause)[_starts(sitting)]

    by_start = np.argsort(began)
    user = rater[first][by_start]
    sessions = Sessions(
        id=ids(len(first), recipe, rng),
        step=step[first][by_start],
        rater=user,
        created=began[by_start],
    )
    strictness = np.linspace(-STRICTNESS, STRICTNESS, recipe.raters)[rater]
    reviews = Reviews(
        image=image,
        session=rank[sitting],
        created=began[sitting] + elapsed,
        score=images.severity[image] + strictness + rng.normal(0, DISAGREEMENT, len(image)),
        by_verdict=np.isin(step, (FMAP, DTIFIT)),
    )
    return _with_hazards(sessions, reviews, images, recipe, rng)


def _assignments(images: Images, recipe: Recipe, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return the image and the rater of each review; no pair occurs twice."""
    n = len(images)
    chosen = (images.step == FMAP) | (rng.random(n) < recipe.reviewed)
    chosen[np.flatnonzero(images.step != FMAP)[:1]] = False
    whole = int(recipe.reviews_per_image)
    wanted = chosen * (whole + (rng.random(n) < recipe.reviews_per_image - whole))
    most = min(recipe.raters, whole + 1)
    lot = rng.random((n, recipe.raters), dtype=np.float32).argsort(axis=1)[:, :most]
    image, place = np.nonzero(np.arange(most) < wanted[:, np.newaxis])
    return image, lot[image, place]


def _runs(keys: Ints) -> Ints:
    """Number the runs of equal neighbours: 5 5 9 2 2 → 0 0 1 2 2."""
    return np.cumsum(np.diff(keys, prepend=keys[:1]) != 0)


def _starts(runs: Ints) -> Ints:
    """Return the position at which the run of each element starts, for numbers from `_runs`."""
    return np.flatnonzero(np.diff(runs, prepend=-1))[runs]


def _with_hazards(
    sessions: Sessions,
    reviews: Reviews,
    images: Images,
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[Sessions, Reviews]:
    """Add repeated, crossed and misplaced reviews, and remove the users of early sessions."""
    n_picked = max(8, len(reviews) // 50)
    base = reviews
    verdict_steps = np.isin(images.step[base.image], (FMAP, DTIFIT))

    def pick() -> Reviews:
        return base.take(rng.choice(len(base), min(n_picked, len(base)), replace=False))

    if recipe.has("double_submit"):
        again = pick()
        reviews = reviews.plus(replace(again, created=again.created + 180_000))
    if recipe.has("changed_mind"):
        again = pick()
        other = np.where(again.score < UNSURE_FROM, FAIL_FROM + 0.1, 0.0)
        reviews = reviews.plus(replace(again, created=again.created + 40 * SECOND, score=other))
    if recipe.has("later_session"):
        again = pick()
        later = again.session + len(sessions.id)
        shift = rng.integers(125 * DAY, 140 * DAY)
        reviews = reviews.plus(replace(again, session=later, created=again.created + shift))
        sessions, reviews = _repeated_sessions(sessions, reviews, int(shift), recipe, rng)
    if recipe.has("crossed_tables"):
        for crossed in (np.flatnonzero(verdict_steps)[:3], np.flatnonzero(~verdict_steps)[:3]):
            again = base.take(crossed)
            created = again.created + 7 * SECOND
            reviews = reviews.plus(replace(again, created=created, by_verdict=~again.by_verdict))
    if recipe.has("session_step"):
        steps = sessions.step[base.session]
        for here, there in ((MASK, NORMALIZATION), (NORMALIZATION, SURFACE), (FMAP, DTIFIT)):
            host = np.flatnonzero(steps == there)[:2]
            guest = np.flatnonzero(steps == here)[-2:]
            n = min(len(host), len(guest))
            reviews = reviews.plus(
                replace(
                    base.take(guest[:n]),
                    session=base.session[host[:n]],
                    created=base.created[host[:n]] + 11 * SECOND,
                )
            )
    if recipe.has("null_users"):
        unknown = np.arange(len(sessions.id)) < max(1, len(sessions.id) // 8)
        sessions = Sessions(
            sessions.id, sessions.step, np.where(unknown, -1, sessions.rater), sessions.created
        )
    return sessions, reviews


def _repeated_sessions(
    sessions: Sessions, reviews: Reviews, shift: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[Sessions, Reviews]:
    """Add later sessions of the same raters, for reviews whose session index is beyond the end."""
    n = len(sessions.id)
    again = np.unique(reviews.session[reviews.session >= n])
    number = np.where(
        reviews.session < n, reviews.session, n + np.searchsorted(again, reviews.session)
    )
    original = again - n
    repeated = Sessions(
        id=np.concatenate([sessions.id, sessions.id[-1] + ids(len(again), recipe, rng)]),
        step=np.concatenate([sessions.step, sessions.step[original]]),
        rater=np.concatenate([sessions.rater, sessions.rater[original]]),
        created=np.concatenate([sessions.created, sessions.created[original] + shift]),
    )
    return repeated, replace(reviews, session=number)


def rating_columns(
    reviews: Reviews, images: Images, sessions: Sessions, recipe: Recipe, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the columns of `rating`, by time; `notes` has positions in `note_texts`."""
    chosen = reviews.take(np.flatnonzero(reviews.by_verdict))
    chosen = chosen.take(np.argsort(chosen.created, kind="stable"))
    n = len(chosen)
    return {
        "id": ids(n, recipe, rng),
        "source_data_issue": _blames_source(chosen, rng),
        "rating": np.digitize(chosen.score, (UNSURE_FROM, FAIL_FROM)),
        "img_id": images.id[chosen.image],
        "session": sessions.id[chosen.session],
        "notes": _notes(n, recipe, rng),
        "created": chosen.created,
    }


def coordinate_columns(
    reviews: Reviews, images: Images, sessions: Sessions, recipe: Recipe, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the columns of `coordinate`, by time; x and y are NaN for NULL."""
    chosen = reviews.take(np.flatnonzero(~reviews.by_verdict))
    chosen = chosen.take(np.argsort(chosen.created, kind="stable"))
    excess = np.maximum(chosen.score - UNSURE_FROM, 0)
    clicks = np.where(excess > 0, 1 + np.minimum(rng.poisson(5 * excess), 7), 0)

    rows = np.maximum(clicks, 1)
    review = np.repeat(np.arange(len(chosen)), rows)
    nth = np.arange(len(review)) - np.repeat(np.cumsum(rows) - rows, rows)
    width, height = recipe.picture_size
    where = images.fault[chosen.image[review]] + rng.normal(0, 0.07, (len(review), 2))
    pixels = np.round(where * height / 2 + (width / 2, height / 2), 2)
    pixels = np.clip(pixels, 0, (width - 1, height - 1))
    pixels[clicks[review] == 0] = np.nan
    _stray_clicks(pixels, recipe)
    return {
        "id": ids(len(review), recipe, rng),
        "source_data_issue": _blames_source(chosen, rng)[review],
        "x": pixels[:, 0],
        "y": pixels[:, 1],
        "img_id": images.id[chosen.image[review]],
        "session": sessions.id[chosen.session[review]],
        "notes": _notes(len(chosen), recipe, rng)[review],
        "created": chosen.created[review] + 4 * nth,
    }


def _blames_source(reviews: Reviews, rng: np.random.Generator) -> Bools:
    issue: Bools = (reviews.score > UNSURE_FROM) & (rng.random(len(reviews)) < BLAMED)
    return issue


def _stray_clicks(pixels: Floats, recipe: Recipe) -> None:
    """Replace coordinates of some clicks by hazardous ones."""
    clicks = iter(np.flatnonzero(~np.isnan(pixels[:, 0])))
    below = recipe.picture_size[1] + 0.2
    stray = {
        "off_picture_clicks": ((0, -0.28), (1, below)),
        "half_null_clicks": ((1, np.nan), (0, np.nan)),
        "infinite_clicks": ((0, np.inf), (1, -np.inf)),
    }
    for hazard, changes in stray.items():
        if recipe.has(hazard):
            for (axis, value), row in zip(changes, clicks, strict=False):
                pixels[row, axis] = value


def note_texts(recipe: Recipe) -> list[str]:
    """Return all texts of notes."""
    return [*NOTES, *AWKWARD_NOTES] if recipe.has("awkward_notes") else list(NOTES)


def _notes(n: int, recipe: Recipe, rng: np.random.Generator) -> Ints:
    """Return n positions in `note_texts`, mostly `NO_NOTE`; the first rows have each text once."""
    texts = len(note_texts(recipe))
    notes = np.where(rng.random(n) < NOTED, rng.integers(0, len(NOTES), n), NO_NOTE)
    each = np.arange(min(texts, n))
    notes[each] = texts - 1 - each
    return notes
