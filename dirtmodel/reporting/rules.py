"""Describe an exclusion rule in words."""

from collections.abc import Iterator
from typing import Final

from dirtmodel.models import JudgedBy
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.rules import Rule, Unsure
from dirtmodel.wording import count

_VERDICTS: Final = {
    Rule.ANY_FAIL: "at least one reviewer rated it FAIL",
    Rule.MAJORITY: "FAIL is its most frequent verdict, or ties with PASS",
    Rule.UNANIMOUS: "all its verdicts are FAIL",
}
_UNSURE: Final = {
    Unsure.IGNORE: "UNSURE is not counted",
    Unsure.PASS: "UNSURE counts as PASS",
    Unsure.FAIL: "UNSURE counts as FAIL",
}


def in_words(rule: Exclusions) -> Iterator[str]:
    r"""Yield the sentences that describe a rule.

    >>> print(*in_words(Exclusions(step="mask", min_clicks=3)), sep="\n")
    A scan is excluded if any of its derivatives has at least 1 bad image.
    Where clicks decide, an image is bad if at least 1 review has at least 3 clicks.
    All reviews count, repeated ones included.
    An image without a review has not passed; it is unreviewed.
    """
    flagged = (
        " or if a reviewer flagged the raw data of any of them" if rule.source_data_issue else ""
    )
    derivatives = "it" if rule.level == "target" else "any of its derivatives"
    yield (
        f"A {'derivative' if rule.level == 'target' else rule.level} is excluded if {derivatives} "
        f"has at least {count(rule.images, 'bad image')}{flagged}."
    )
    if JudgedBy.VERDICT in rule.kinds:
        verdicts = _VERDICTS.get(
            Rule(rule.rule), f"it has at least {count(rule.min_fails or 1, 'verdict')} FAIL"
        )
        yield (
            f"Where verdicts decide, an image is bad if {verdicts}; {_UNSURE[Unsure(rule.unsure)]}."
        )
    if JudgedBy.CLICKS in rule.kinds:
        clicks = count(rule.min_clicks, "click")
        if rule.min_raters > 1:
            yield (
                f"Where clicks decide, an image is bad if {rule.min_raters} named raters made at "
                f"least {clicks} each."
            )
        else:
            yield (
                f"Where clicks decide, an image is bad if at least 1 review has at least {clicks}."
            )
    if rule.latest:
        yield "Only each rater's latest review of an image counts."
    else:
        yield "All reviews count, repeated ones included."
    yield "An image without a review has not passed; it is unreviewed."
