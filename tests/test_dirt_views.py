"""The views with DIRT's table names, read by Django with models written for the tests.

Django runs in a process of its own: its settings are global, and they change the time zone.
"""

import datetime as dt
import pickle
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.models import Base

WHOLE = dt.datetime(2025, 7, 13, 12, 30, 5, tzinfo=dt.UTC)
EXACT = dt.datetime(2025, 7, 13, 12, 30, 5, 100, tzinfo=dt.UTC)

PROGRAM = """
import datetime, pickle, sys, types
import datetime as dt
from django.conf import settings

# Django only follows relations backwards within installed apps.
package = sys.modules["ratings"] = types.ModuleType("ratings")
package.__path__ = ["nowhere"]
settings.configure(
    INSTALLED_APPS=["ratings"],
    DATABASES={"default": pickle.load(sys.stdin.buffer)}, USE_TZ=True, TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
import django
django.setup()
from django.db import connection, models, transaction
from django.db.models import Count, F, Max, Min, Q, Sum
from django.db.models.functions import Length, TruncDate


class Session(models.Model):
    step = models.IntegerField()
    created = models.DateTimeField()
    user = models.TextField(null=True)

    class Meta:
        app_label, managed, db_table = "ratings", False, "ratings_session"


class Image(models.Model):
    img = models.BinaryField()
    slice = models.IntegerField(null=True)
    file1 = models.TextField()
    file2 = models.TextField(null=True)
    display = models.IntegerField()
    step = models.IntegerField()
    created = models.DateTimeField()

    class Meta:
        app_label, managed, db_table = "ratings", False, "ratings_image"


class Review(models.Model):
    source_data_issue = models.BooleanField(default=False)
    created = models.DateTimeField()
    image = models.ForeignKey(Image, on_delete=models.CASCADE)
    session = models.ForeignKey(Session, on_delete=models.CASCADE)
    comments = models.TextField(default="")

    class Meta:
        abstract = True


class Rating(Review):
    rating = models.IntegerField()

    class Meta:
        app_label, managed, db_table = "ratings", False, "ratings_rating"


class ClickedCoordinate(Review):
    x = models.FloatField(null=True)
    y = models.FloatField(null=True)

    class Meta:
        app_label, managed, db_table = "ratings", False, "ratings_clickedcoordinate"


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
while True:
    try:
        question = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        with transaction.atomic():
            answer = True, eval(question)
    except Exception as error:
        answer = False, f"{type(error).__name__}: {error}"
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""

MODELS = {
    "Session": ("session", ["id", "step", "created", "user"]),
    "Image": (
        "image",
        ["id", "img", "slice", "file1", "file2", "display", "step", "created"],
    ),
    "Rating": (
        "rating",
        ["id", "source_data_issue", "created", "rating", "image_id", "session_id", "comments"],
    ),
    "ClickedCoordinate": (
        "coordinate",
        ["id", "source_data_issue", "created", "x", "y", "image_id", "session_id", "comments"],
    ),
}
OUR_NAMES = {"image_id": "img_id", "session_id": "session", "comments": "notes"}


class Django:
    """Django on a database, in a process that evaluates expressions."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(settings)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression, which must not fail."""
        succeeded, value = self.attempt(expression)
        assert succeeded, value
        return value

    def attempt(self, expression: str) -> tuple[bool, Any]:
        """Return whether an expression succeeds, and its value or its error."""
        self._send(expression)
        assert self._process.stdout is not None
        succeeded, value = pickle.load(self._process.stdout)  # noqa: S301 - from a program of our own
        return succeeded, value

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(value, self._process.stdin)
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()


class Place(NamedTuple):
    """A database, Django on it, and the rows of the mirrored tables with their column names."""

    url: sa.URL
    django: Django
    rows: dict[str, list[dict[str, Any]]]

    def ask(self, expression: str) -> Any:
        return self.django.ask(expression)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with times on a whole second, and others just after it."""
    tables = sample.make_tables(subjects=2, slices=1, picture_size=(32, 24), frames=2)
    for name, table in tables.items():
        rows = table.to_pylist()
        rows[0]["created"], rows[1]["created"] = WHOLE, EXACT
        tables[name] = pa.Table.from_pylist(rows, table.schema)
    return sample.write_tables(tables, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    settings: dict[str, Any]
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("django") / "dirt.db"
        url = database.parse_url(path)
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}
    else:
        options = {"options": "-csearch_path=of_django"}
        url = database.parse_url(request.getfixturevalue("postgres_server"))
        settings = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": url.query["host"],
            "NAME": url.database,
            "USER": url.username,
            "PASSWORD": url.password or "",
            "OPTIONS": options,
        }
        url = url.update_query_dict(options)
    dm.load(release, url)
    django = Django(settings)
    try:
        yield Place(url, django, mirrored(url))
    finally:
        django.close()
        if request.param == "postgres":
            with database.engine(url).begin() as connection:
                connection.execute(sa.text("DROP SCHEMA of_django CASCADE"))


def mirrored(url: sa.URL) -> dict[str, list[dict[str, Any]]]:
    with database.connect(url) as connection:
        return {
            name: [dict(row) for row in connection.execute(ordered(name)).mappings()]
            for name in ("session", "image", "rating", "coordinate")
        }


def ordered(table: str) -> sa.Select[Any]:
    rows = Base.metadata.tables[table]
    return sa.select(rows).order_by(rows.c.id)


def by_id(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in rows}


# -- reading


@pytest.mark.parametrize("model", MODELS)
def test_all_cells_equal_those_of_our_tables(place: Place, model: str) -> None:
    table, columns = MODELS[model]

    found = place.ask(
        "[tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) "
        f"for row in {model}.objects.order_by('id').values_list(*{columns!r})]"
    )

    expected = []
    for row in place.rows[table]:
        cells = {name: row[OUR_NAMES.get(name, name)] for name in columns}
        if "comments" in cells:
            cells["comments"] = cells["comments"] or ""
        expected.append(tuple(cells.values()))
    assert len(expected) > 5
    assert found == expected


@pytest.mark.parametrize("model", MODELS)
def test_the_columns_are_those_of_dirt_in_its_order(place: Place, model: str) -> None:
    _, columns = MODELS[model]

    found = place.ask(
        "[c.name for c in connection.introspection.get_table_description("
        f"connection.cursor(), {model}._meta.db_table)]"
    )

    assert found == columns


def test_null_notes_appear_as_empty_text(place: Place) -> None:
    found = place.ask(
        "(Rating.objects.filter(comments__isnull=True).count(), "
        "Rating.objects.filter(comments='').count())"
    )

    empty = [row for row in place.rows["rating"] if row["notes"] is None]
    assert empty
    assert found == (0, len(empty))


def test_joins_lead_to_image_and_session(place: Place) -> None:
    found = place.ask(
        "[(r.id, r.image.file1, r.image.step, r.session.user) for r in "
        "Rating.objects.select_related('image', 'session').defer('image__img').order_by('id')]"
    )

    images, sessions = by_id(place.rows["image"]), by_id(place.rows["session"])
    assert found == [
        (
            row["id"],
            images[row["img_id"]]["file1"],
            images[row["img_id"]]["step"],
            sessions[row["session"]]["user"],
        )
        for row in place.rows["rating"]
    ]


def test_related_objects_lead_back(place: Place) -> None:
    found = place.ask(
        "{i.id: sorted(r.id for r in i.rating_set.all()) for i in "
        "Image.objects.prefetch_related('rating_set').only('id') if i.rating_set.all()}"
    )

    expected = defaultdict(list)
    for row in place.rows["rating"]:
        expected[row["img_id"]].append(row["id"])
    assert found == {img_id: sorted(ids) for img_id, ids in expected.items()}


def test_filters_across_joins(place: Place) -> None:
    found = place.ask(
        "sorted(ClickedCoordinate.objects.filter(Q(image__step=0) | Q(session__user=None), "
        "x__isnull=False).values_list('id', flat=True))"
    )

    images, sessions = by_id(place.rows["image"]), by_id(place.rows["session"])
    assert found == sorted(
        row["id"]
        for row in place.rows["coordinate"]
        if row["x"] is not None
        and (images[row["img_id"]]["step"] == 0 or sessions[row["session"]]["user"] is None)
    )


def test_annotations_count_reviews(place: Place) -> None:
    found = place.ask(
        "{i.id: (i.n, i.worst) for i in Image.objects.filter(step=3).defer('img')"
        ".annotate(n=Count('rating'), worst=Max('rating__rating'))}"
    )

    given = defaultdict(list)
    for row in place.rows["rating"]:
        given[row["img_id"]].append(int(row["rating"]))
    assert found == {
        image["id"]: (len(given[image["id"]]), max(given[image["id"]], default=None))
        for image in place.rows["image"]
        if image["step"] == 3
    }


def test_aggregates_and_groups(place: Place) -> None:
    found = place.ask(
        "(Rating.objects.aggregate(first=Min('created'), last=Max('created')), "
        "sorted(Rating.objects.values_list('rating').annotate(n=Count('id'))), "
        "Image.objects.aggregate(n=Sum(Length('file1')))['n'])"
    )

    moments = [row["created"] for row in place.rows["rating"]]
    verdicts = Counter(int(row["rating"]) for row in place.rows["rating"])
    assert found == (
        {"first": min(moments), "last": max(moments)},
        sorted(verdicts.items()),
        sum(len(row["file1"]) for row in place.rows["image"]),
    )


def test_dates_and_years_are_looked_up(place: Place) -> None:
    found = place.ask(
        "[sorted(Session.objects.filter(**{lookup: value}).values_list('id', flat=True)) "
        "for lookup, value in (('created__date', dt.date(2025, 7, 13)), ('created__year', 2025), "
        "('created__month__gte', 8), ('created__hour', 12), ('created__second', 5))]"
    )

    def ids(condition: Any) -> list[int]:
        return sorted(row["id"] for row in place.rows["session"] if condition(row["created"]))

    assert found == [
        ids(lambda moment: moment.date() == dt.date(2025, 7, 13)),
        ids(lambda moment: moment.year == 2025),
        ids(lambda moment: moment.month >= 8),
        ids(lambda moment: moment.hour == 12),
        ids(lambda moment: moment.second == 5),
    ]
    assert len(found[0]) >= 2


def test_days_are_counted(place: Place) -> None:
    found = place.ask(
        "dict(Rating.objects.annotate(day=TruncDate('created')).values_list('day')"
        ".annotate(n=Count('id')))"
    )

    assert found == Counter(row["created"].date() for row in place.rows["rating"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("moment", [WHOLE, EXACT], ids=["whole second", "microseconds"])
def test_an_exact_moment_is_found(place: Place, model: str, moment: dt.datetime) -> None:
    found = place.ask(
        f"sorted({model}.objects.filter(created={moment!r}).values_list('id', flat=True))"
    )

    table, _ = MODELS[model]
    assert found == [row["id"] for row in place.rows[table] if row["created"] == moment]
    assert found


def test_ranges_of_moments_exclude_and_include_their_ends(place: Place) -> None:
    found = place.ask(
        f"[sorted(Rating.objects.filter(**{{f'created__{{how}}': {WHOLE!r}}})"
        ".values_list('id', flat=True)) for how in ('lt', 'lte', 'gt', 'gte')]"
    )

    rows = place.rows["rating"]
    assert found == [
        [row["id"] for row in rows if row["created"] < WHOLE],
        [row["id"] for row in rows if row["created"] <= WHOLE],
        [row["id"] for row in rows if row["created"] > WHOLE],
        [row["id"] for row in rows if row["created"] >= WHOLE],
    ]


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_ordered_by_moment(place: Place, model: str) -> None:
    found = place.ask(f"list({model}.objects.order_by('-created', 'id').values_list('id'))")

    table, _ = MODELS[model]
    ordered = sorted(place.rows[table], key=lambda row: row["id"])
    ordered.sort(key=lambda row: row["created"], reverse=True)
    assert found == [(row["id"],) for row in ordered]


# -- writing

NEW_RATING = "rating=0, image_id=Image.objects.only('id')[0].id, session_id=SESSION, created=NOW"
WRITES = {
    "save a new row": "Session(step=0, created=NOW).save()",
    "save a row with an id": "Session(id=10**6, step=0, created=NOW).save()",
    "save a changed row": "[setattr(r := Rating.objects.first(), 'comments', 'x'), r.save()]",
    "create": f"Rating.objects.create({NEW_RATING})",
    "bulk_create": "Session.objects.bulk_create([Session(step=0, created=NOW) for _ in range(3)])",
    "bulk_create, ignore_conflicts": (
        "Session.objects.bulk_create([Session(id=SESSION, step=0, created=NOW)], "
        "ignore_conflicts=True)"
    ),
    "bulk_create, update_conflicts": (
        "Session.objects.bulk_create([Session(id=SESSION, step=0, created=NOW)], "
        "update_conflicts=True, unique_fields=['id'], update_fields=['step'])"
    ),
    "update": "Rating.objects.filter(rating=2).update(comments='x')",
    "update with an expression": "ClickedCoordinate.objects.update(x=F('x') + 1)",
    "update to the same": "Image.objects.update(display=F('display'))",
    "bulk_update": (
        "[rows := list(Rating.objects.all()[:3]), Rating.objects.bulk_update(rows, ['comments'])]"
    ),
    "delete a row": "Rating.objects.first().delete()",
    "delete a row with its reviews": "Session.objects.get(id=SESSION).delete()",
    "delete rows": "ClickedCoordinate.objects.all().delete()",
    "delete pictures": "Image.objects.all()._raw_delete('default')",
    "get_or_create": "Session.objects.get_or_create(id=10**6, defaults=dict(step=0, created=NOW))",
    "update_or_create": "Session.objects.update_or_create(id=SESSION, defaults=dict(step=0))",
    "INSERT": (
        "sql(\"INSERT INTO ratings_session (id, step, created) VALUES (1, 0, '2026-01-01')\")"
    ),
    "INSERT of all columns": "sql('INSERT INTO ratings_session SELECT * FROM ratings_session')",
    "INSERT without columns": "sql('INSERT INTO ratings_session DEFAULT VALUES')",
    "INSERT, RETURNING": (
        "sql(\"INSERT INTO ratings_session (step, created) VALUES (0, '2026-01-01') RETURNING id\")"
    ),
    "INSERT of a picture, RETURNING": (
        "sql(\"INSERT INTO ratings_image (file1, display, step, created) VALUES ('a', 0, 0, "
        "'2026-01-01') RETURNING *\")"
    ),
    "INSERT, ON CONFLICT DO NOTHING": (
        "sql(\"INSERT INTO ratings_session (id, step, created) VALUES (SESSION, 0, '2026-01-01') "
        'ON CONFLICT DO NOTHING")'
    ),
    "INSERT, ON CONFLICT DO UPDATE": (
        "sql(\"INSERT INTO ratings_session (id, step, created) VALUES (SESSION, 0, '2026-01-01') "
        'ON CONFLICT (id) DO UPDATE SET step = 1")'
    ),
    "UPDATE": "sql(\"UPDATE ratings_rating SET comments = 'x'\")",
    "UPDATE, RETURNING": "sql('UPDATE ratings_clickedcoordinate SET x = 0 RETURNING id')",
    "DELETE": "sql('DELETE FROM ratings_clickedcoordinate')",
    "DELETE, RETURNING": "sql('DELETE FROM ratings_image RETURNING id')",
}
WRITES_OF_AN_ENGINE = {
    "sqlite": {
        "INSERT OR IGNORE": (
            'sql("INSERT OR IGNORE INTO ratings_session (id, step, created) '
            "VALUES (SESSION, 0, '2026-01-01')\")"
        ),
        "INSERT OR REPLACE": (
            'sql("INSERT OR REPLACE INTO ratings_session (id, step, created) '
            "VALUES (SESSION, 0, '2026-01-01')\")"
        ),
        "UPDATE OR IGNORE": "sql('UPDATE OR IGNORE ratings_rating SET rating = 1')",
        "UPDATE FROM": (
            "sql('UPDATE ratings_rating SET rating = 1 FROM ratings_session AS s "
            "WHERE s.id = session_id')"
        ),
    },
    "postgres": {
        "UPDATE of no row": "sql('UPDATE ratings_rating SET rating = 1 WHERE id < 0')",
        "TRUNCATE": "sql('TRUNCATE ratings_rating')",
        "MERGE": (
            "sql('MERGE INTO ratings_session AS t USING session AS s ON s.id = t.id "
            "WHEN MATCHED THEN DELETE')"
        ),
    },
}
REFUSED = re.compile(
    r"(IntegrityError: ratings_\w+ is read-only"
    r"|OperationalError: cannot UPSERT a view"
    r'|\w+: cannot (insert into|update|delete from) view "ratings_\w+"'
    r'|\w+: "ratings_rating" is not a table)(\n.*)*'
)


@pytest.mark.parametrize("write", WRITES)
def test_every_write_raises_an_error_and_changes_nothing(place: Place, write: str) -> None:
    check_refused(place, WRITES[write])


@pytest.mark.parametrize(
    ("place", "write"),
    [(engine, write) for engine, writes in WRITES_OF_AN_ENGINE.items() for write in writes],
    indirect=["place"],
)
def test_every_write_of_one_engine_raises_an_error_and_changes_nothing(
    request: pytest.FixtureRequest, place: Place, write: str
) -> None:
    engine = request.node.callspec.params["place"]
    check_refused(place, WRITES_OF_AN_ENGINE[engine][write])


def check_refused(place: Place, expression: str) -> None:
    session = place.rows["rating"][0]["session"]

    succeeded, error = place.django.attempt(expression.replace("SESSION", str(session)))

    assert not succeeded
    assert REFUSED.fullmatch(error), error
    assert mirrored(place.url) == place.rows
