"""Do the raters agree? Coefficients on any units × categories counts, tables, and clicks."""

from dirtmodel.queries.agreement.coefficients import Coefficient, coefficients
from dirtmodel.queries.agreement.tallies import Margins, Tabulation, tabulate
from dirtmodel.queries.agreement.weights import agreement_weights

__all__ = [
    "Coefficient",
    "Margins",
    "Tabulation",
    "agreement_weights",
    "coefficients",
    "tabulate",
]
