"""A paragraph for the methods section of a paper, with the numbers of one database."""

from collections.abc import Iterator

from dirtmodel._version import __version__
from dirtmodel.irr import Coefficient
from dirtmodel.queries.agreement_result import AgreementResult
from dirtmodel.wording import count

_ALPHA = "Krippendorff's alpha (Krippendorff 2011)"
_SOURCES = {
    "Gwet 2008": "Gwet KL (2008). Computing inter-rater reliability and its variance in the "
    "presence of high agreement. Br J Math Stat Psychol 61:29-48.",
    "Krippendorff 2011": "Krippendorff K (2011). Computing Krippendorff's alpha-reliability. "
    "University of Pennsylvania.",
    "Binder 1983": "Binder DA (1983). On the variances of asymptotically normal estimators from "
    "complex surveys. Int Stat Rev 51:279-292.",
    "Cicchetti & Feinstein 1990": "Cicchetti DV, Feinstein AR (1990). High agreement but low "
    "kappa: II. Resolving the paradoxes. J Clin Epidemiol 43:551-558.",
    "Satterthwaite 1946": "Satterthwaite FE (1946). An approximate distribution of estimates of "
    "variance components. Biometrics Bull 2:110-114.",
    "Efron 1979": "Efron B (1979). Bootstrap methods: another look at the jackknife. "
    "Ann Stat 7:1-26.",
    "Dawid & Skene 1979": "Dawid AP, Skene AM (1979). Maximum likelihood estimation of observer "
    "error-rates using the EM algorithm. Appl Stat 28:20-28.",
    "Carpentier et al. 2017": "Carpentier M, Combescure C, Merlini L, Perneger TV (2017). Kappa "
    "statistic to measure agreement beyond chance in free-response assessments. BMC Med Res "
    "Methodol 17:62.",
}


def paragraph(result: AgreementResult, release: str | None) -> str:
    """Return the methods and results of an agreement as prose, with a list of cited sources.

    Parameters
    ----------
    result
        From `Agreement.run`.
    release
        The label of the release, if it has one.

    """
    text = prose(result, release)
    return "\n\n".join([text, "\n".join(sources(text))])


def prose(result: AgreementResult, release: str | None) -> str:
    """Return `paragraph` without the list of sources."""
    return " ".join([*_design(result, release), *_statistics(result), *_findings(result)])


def sources(text: str) -> list[str]:
    """Return the full references of the sources that a text cites."""
    return [source for key, source in _SOURCES.items() if key in text]


def _design(result: AgreementResult, release: str | None) -> Iterator[str]:
    source = f"release {release}" if release else "the release"
    who = "session" if result.rater == "session" else "rater"
    what = "marked the places of errors by clicking" if result.by_clicks else "gave a verdict"
    yield (
        f"Inter-rater agreement on {result.step.name} was computed with dirtmodel {__version__} "
        f"from {source}. {count(result.raters, who).capitalize()} {what} on "
        f"{count(result.units, 'image')}"
        + ("" if result.clusters is None else f" of {count(result.clusters, 'subject')}")
        + f" ({count(result.reviews, 'review')}), of which two raters or more reviewed "
        f"{result.pairable_units:,}."
    )
    if result.by_clicks:
        yield "An image was rated by whether the rater clicked on it."
    else:
        yield f"The categories were {', '.join(result.judged.categories)}."
    if result.superseded:
        yield (
            f"Where a rater reviewed an image more than once, the latest review counted "
            f"({count(result.superseded, 'earlier review')} left out)."
        )
    if result.unattributed_sessions and result.rater == "user":
        were = "was" if result.unattributed_sessions == 1 else "were"
        sessions = count(result.unattributed_sessions, "session")
        yield f"{sessions.capitalize()} without a user {were} left out."


def _statistics(result: AgreementResult) -> Iterator[str]:
    yield (
        f"We report Gwet's AC1 (Gwet 2008), {_ALPHA} with ordinal differences, and specific "
        "agreement (Cicchetti & Feinstein 1990)."
    )
    clustered = "images as independent" if result.clusters is None else "subjects as clusters"
    if result.bootstrap is not None:
        yield (
            f"Intervals are percentiles of {result.bootstrap:,} bootstrap replicates (Efron 1979) "
            f"with {clustered}."
        )
    else:
        yield (
            f"Standard errors were linearised with {clustered} (Binder 1983); intervals use "
            "Student's t with degrees of freedom from the squared influences (Satterthwaite 1946)."
        )
    if result.clicks is not None:
        yield (
            "Clicks were matched one to one within a tolerance; F1 equals the free-response kappa "
            "(Carpentier et al. 2017)."
        )


def _findings(result: AgreementResult) -> Iterator[str]:
    judged = result.judged
    problem = judged.prevalence[result.problem].value
    if problem is not None:
        yield f"{100 * problem:.1f} % of the ratings were {result.problem}."
    alpha = judged.coefficient("krippendorff_alpha", "ordinal")
    yield f"AC1 was {_value(judged.coefficient('gwet_ac', 'identity'), result)},"
    yield f"ordinal alpha {_value(alpha, result)}."
    specific = judged.specific_agreement[result.problem]
    if specific.value is not None:
        yield f"Specific agreement on {result.problem} was {specific.value:.2f}."
    if result.clicks is not None:
        for tolerance, matched in result.clicks.matched.items():
            if matched.pooled_f1.value is not None:
                chance = result.clicks.chance[tolerance] or 0.0
                yield (
                    f"Pooled F1 within {tolerance:g} pixels was {matched.pooled_f1.value:.2f} "
                    f"(expected by chance: {chance:.2f})."
                )


def _value(c: Coefficient, result: AgreementResult) -> str:
    if c.value is None:
        return f"undefined ({c.reason})"
    if c.ci_low is None or c.ci_high is None:
        return f"{c.value:.2f} (no interval: {c.reason})"
    level = f"{100 * result.confidence:g} % CI"
    return f"{c.value:.2f} ({level} {c.ci_low:.2f} to {c.ci_high:.2f})"
