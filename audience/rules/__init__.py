"""The rule language: tree, parse, validate, describe. Pure. The contract is docs/rules.md."""

from audience.rules.describe import describe
from audience.rules.errors import RuleError, RuleInvalid
from audience.rules.parse import parse_computed_trait, parse_rule
from audience.rules.reading import Limits, Regex, RegexCompiler
from audience.rules.references import References

__all__ = [
    "Limits",
    "References",
    "Regex",
    "RegexCompiler",
    "RuleError",
    "RuleInvalid",
    "describe",
    "parse_computed_trait",
    "parse_rule",
]
