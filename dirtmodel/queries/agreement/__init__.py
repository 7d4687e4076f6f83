"""Do the raters agree? Coefficients on any units × categories counts, tables, and clicks."""

from dirtmodel.queries.agreement.clicks import ClickAgreement, Match, match, summarise
from dirtmodel.queries.agreement.coefficients import Coefficient, coefficients
from dirtmodel.queries.agreement.summaries import (
    leave_one_out,
    one_against_rest,
    prevalence,
    specific_agreement,
    unanimity,
)
from dirtmodel.queries.agreement.tables import OverPairs, TwoWay, cohen_kappa, over_pairs, two_way
from dirtmodel.queries.agreement.tallies import Margins, Tabulation, tabulate
from dirtmodel.queries.agreement.weights import agreement_weights

__all__ = [
    "ClickAgreement",
    "Coefficient",
    "Margins",
    "Match",
    "OverPairs",
    "Tabulation",
    "TwoWay",
    "agreement_weights",
    "coefficients",
    "cohen_kappa",
    "leave_one_out",
    "match",
    "one_against_rest",
    "over_pairs",
    "prevalence",
    "specific_agreement",
    "summarise",
    "tabulate",
    "two_way",
    "unanimity",
]
