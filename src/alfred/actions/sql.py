"""SQL that certainly only reads, told from everything else.

Invariant: `none` is given to a closed little language: one SELECT (or WITH, VALUES, EXPLAIN, SHOW,
DESCRIBE), made of known functions and plain quoting that every dialect reads alike. Whatever could be read
differently by some database (comments, backslashes, brackets, dollar quotes, a second statement, any word
that can write) is high. A real SQL parser would tell more kinds of writing apart; it would not make
anything here safer, because a parser for one dialect misreads another's quoting.
"""

from __future__ import annotations

import re

from alfred.actions.kinds import Risk

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<text>'(?:[^'\\]|'')*')
  | (?P<quoted>"[\w .-]*"|`[\w .-]*`)
  | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
  | (?P<parameter>\$[0-9]+|:[A-Za-z_]\w*|\?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>::|<>|<=|>=|!=|\|\||->>|->|[(),.=<>+*/%;-])
    """,
    re.VERBOSE,
)

_STARTS = frozenset({"select", "with", "values", "explain", "show", "describe", "desc"})

_WRITING = frozenset(
    "insert update delete merge replace upsert truncate drop create alter rename grant revoke deny into "
    "call exec execute begin commit rollback savepoint save set kill shutdown share outfile dumpfile "
    "pragma use prepare deallocate declare open fetch close returning checkpoint print raiserror throw "
    "return while goto reconfigure bulk dbcc waitfor backup restore disable enable writetext updatetext "
    "reassign do".split()
)
"""Words that can write behind a SELECT: in a WITH, after EXPLAIN, as its own clause, or as a second
statement where no semicolon is needed (T-SQL)."""

_FUNCTIONS = frozenset(
    "count sum avg min max total coalesce ifnull nullif nvl lower upper length char_length substr "
    "substring trim ltrim rtrim concat concat_ws round floor ceil ceiling abs power sqrt mod sign "
    "date time datetime strftime julianday now current_date current_timestamp date_trunc date_part "
    "extract age to_char to_date datediff date_add date_sub date_format year month day hour minute "
    "cast convert greatest least row_number rank dense_rank ntile lag lead first_value last_value "
    "group_concat string_agg array_agg json_extract json_array_length json_object json_agg jsonb_agg "
    "json_build_object jsonb_build_object unnest generate_series typeof instr position left right "
    "split_part md5 percentile_cont percentile_disc stddev variance bool_and bool_or version "
    "current_user current_database database "
    "decimal numeric varchar char".split()
)

_BEFORE_PAREN = frozenset(
    "select from where and or not in exists any all some on as join union except intersect having by "
    "case when then else values over filter within group using limit offset distinct is like between "
    "with lateral materialized partition order".split()
)

_MAX = 20_000


def classify_sql(text: str) -> Risk:
    """The risk of SQL text: `none` when it certainly only reads, otherwise `high`.

    Total: no input makes it raise.
    """
    if len(text) > _MAX or not (text.isascii() or _plain_characters(text)):
        return Risk.HIGH
    tokens = _tokens(text)
    if not tokens:
        return Risk.HIGH
    if tokens[-1] == ("sign", ";"):
        tokens.pop()
    words = [value for kind, value in tokens if kind == "word"]
    if not words or tokens[0] != ("word", words[0]) or words[0] not in _STARTS:
        return Risk.HIGH
    if ("sign", ";") in tokens or not _WRITING.isdisjoint(words):
        return Risk.HIGH
    if words[0] in ("show", "describe", "desc"):
        return (
            Risk.NONE
            if all(kind != "sign" or value == "." for kind, value in tokens)
            else Risk.HIGH
        )
    if words[0] != "values" and "select" not in words:
        return Risk.HIGH
    return Risk.NONE if _balanced(tokens) and _known_functions(tokens) else Risk.HIGH


def _plain_characters(text: str) -> bool:
    """Foreign letters only inside of quotes; what they could mean elsewhere differs by database."""
    return re.sub(r"'(?:[^'\\]|'')*'", "", text).isascii()


def _tokens(text: str) -> list[tuple[str, str]]:
    """The tokens in lower case without spaces; empty when something is no token of the language."""
    if "--" in text or "/*" in text or "#" in text or "\0" in text:
        return []  # comments, also inside of quotes: dialects disagree where a quote ends
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return []
        at = match.end()
        if match.lastgroup != "space":
            found.append((match.lastgroup or "", match[0].lower()))
    return found


def _balanced(tokens: list[tuple[str, str]]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token == ("sign", "(")) - (token == ("sign", ")"))
        if depth < 0:
            return False
    return depth == 0


def _known_functions(tokens: list[tuple[str, str]]) -> bool:
    """Whether everything that is called is a known function. A name with a schema in front may be
    anybody's, whatever it is called."""
    known = _FUNCTIONS | _BEFORE_PAREN
    for n, token in enumerate(tokens):
        if token != ("sign", "(") or n == 0:
            continue
        kind, value = tokens[n - 1]
        if kind == "sign":
            continue
        if kind != "word" or value not in known or (n > 1 and tokens[n - 2] == ("sign", ".")):
            return False
    return True
