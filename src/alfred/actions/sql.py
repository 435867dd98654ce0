"""The risk of SQL text, read by a real parser (sqlglot) where every database reads it alike.

Invariant: a closed little language. What some database could read differently (comments, backslashes,
brackets, dollar quotes), what the parser does not understand, and every kind of node and function that is
not listed here (one with a schema in front may be anybody's) is high; so is a word that would begin a
second statement where no semicolon is needed. `none` only reads. A change that names its rows, and a new
table, index, view or column, is medium; everything else (dropping, truncating, changing every row,
permissions, functions, settings, files) is high. The risk of several statements is that of the worst.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from alfred import clock
from alfred.actions.kinds import Risk

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

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
_COMMENT = re.compile(r"--|/\*|\#|\0")
"""Also inside of quotes: dialects disagree where a quote ends."""
_MAX = 20_000
_MAX_TOKENS = 3_000
_NESTED = 40
"""How deep parentheses may stand in each other."""

PARSED = frozenset("select with values insert update delete create alter".split())
"""What a statement begins with that is parsed; the rest is told by its first word, or high."""
_SHOWS = frozenset({"show", "describe", "desc"})
_TRANSACTION = re.compile(r"begin( transaction)?|start transaction|commit|rollback|end")
_EXPLAIN = re.compile(r"explain( query plan| analyze| verbose)*")

_BEGINNING = frozenset(
    "insert update delete merge replace upsert truncate drop create alter rename grant revoke deny into "
    "call exec execute begin commit rollback savepoint save set kill shutdown share outfile dumpfile "
    "pragma use prepare deallocate declare open fetch close returning checkpoint print raiserror throw "
    "return while goto reconfigure bulk dbcc waitfor backup restore disable enable writetext updatetext "
    "reassign do".split()
)
"""Words that can begin another statement: as a bare name somewhere they are one to T-SQL."""

_FUNCTIONS = frozenset(
    "count sum avg min max total coalesce ifnull nullif nvl lower upper length char_length substr "
    "substring trim ltrim rtrim concat concat_ws round floor ceil ceiling abs power sqrt mod sign "
    "date time datetime strftime julianday now current_date current_time current_timestamp date_trunc "
    "date_part extract age to_char to_date datediff date_add date_sub date_format year month day hour "
    "minute cast convert greatest least row_number rank dense_rank ntile lag lead first_value last_value "
    "group_concat string_agg array_agg json_extract json_array_length json_object json_agg jsonb_agg "
    "json_build_object jsonb_build_object unnest generate_series typeof instr position left right "
    "split_part md5 percentile_cont percentile_disc stddev variance bool_and bool_or version replace "
    "current_user current_database database case if exists and or any xor "
    "random rand reverse ascii chr initcap ln log exp cardinality array_length regexp_replace make_date row "
    "pg_size_pretty pg_relation_size pg_total_relation_size pg_database_size sqlite_version "
    "json_array_elements jsonb_array_elements jsonb_array_length jsonb_object_keys "
    # what the parser calls some of them
    "json_extract_scalar exploding_generate_series timestamp_trunc time_to_str str_position "
    "str_to_date explode current_version pad logical_and logical_or json_array_agg ts_or_ds_add".split()
)

_READING = frozenset(
    "Add Alias All And Any Between Boolean CTE Case Cast Column DPipe DataType DataTypeParam Distinct Div "
    "EQ Escape Except Exists Fetch Filter From GT GTE Group Having ILike Identifier If In Intersect Interval "
    "Is JSONPath JSONPathKey JSONPathRoot JSONPathSubscript Join LT LTE Lateral Like Limit LimitOptions Literal Mod "
    "Mul NEQ Neg Not Null NullSafeEQ NullSafeNEQ Offset Or Order Ordered Paren Parameter Placeholder Select Star Sub Subquery "
    "Table TableAlias Tuple Union Values Var Where Window WindowSpec With WithinGroup".split()
)
"""Nodes that only read."""
_CHANGING = _READING | frozenset("Insert Update Delete Schema OnConflict Returning".split())
_MAKING = _READING | frozenset(
    "Create Alter Schema ColumnDef ColumnConstraint CheckColumnConstraint DefaultColumnConstraint "
    "NotNullColumnConstraint PrimaryKeyColumnConstraint UniqueColumnConstraint "
    "GeneratedAsIdentityColumnConstraint Constraint AddConstraint PrimaryKey ForeignKey Reference "
    "Index IndexParameters Properties TemporaryProperty".split()
)
_OWN_TABLES = re.compile(r"pg_\w+|sqlite_\w+", re.I)
_OWN_SCHEMAS = frozenset(
    "pg_catalog information_schema mysql sys performance_schema master msdb".split()
)
"""What databases keep of themselves: who may do what, above all."""
_LOGINS = re.compile(
    r"pg_authid|pg_shadow|pg_user_mappings?|pg_subscription|pg_largeobject|pg_hba_file_rules|sql_logins",
    re.I,
)
_LOGINS_OF_MYSQL = re.compile(r"user|global_priv|servers|slave_master_info", re.I)
_DAY = re.compile(r"(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}([ T].*)?")


def classify_sql(text: str) -> Risk:
    """The risk of SQL text, whatever database it is for.

    `none` when it certainly only reads; `medium` when it changes rows that it names, adds rows, or makes a
    table, an index, a view or a column; `high` for everything else and for what cannot be read. Total: no
    input makes it raise.
    """
    if not isinstance(text, str) or len(text) > _MAX:
        return Risk.HIGH
    tokens = _tokens(text)
    if not tokens or len(tokens) > _MAX_TOKENS or not _balanced(tokens):
        return Risk.HIGH
    statements = _statements(tokens)
    if not statements:
        return Risk.HIGH
    try:
        return max(_statement(part) for part in statements)
    except RecursionError:
        return Risk.HIGH


def _tokens(text: str) -> list[tuple[str, str]]:
    """The tokens without spaces; empty when something is no token of the language."""
    if _COMMENT.search(text):
        return []
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return []
        at = match.end()
        if match.lastgroup != "space":
            found.append((match.lastgroup or "", match[0]))
    return found


def _balanced(tokens: list[tuple[str, str]]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token == ("sign", "(")) - (token == ("sign", ")"))
        if not 0 <= depth <= _NESTED:
            return False
    return depth == 0


def _statements(tokens: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    parts: list[list[tuple[str, str]]] = [[]]
    for token in tokens:
        if token == ("sign", ";"):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _statement(tokens: list[tuple[str, str]]) -> Risk:
    words = [value.lower() if kind == "word" else "" for kind, value in tokens]
    # a name in backticks is what others write in double quotes
    text = " ".join(v.replace("`", '"') if kind == "quoted" else v for kind, v in tokens)
    if words[0] in _SHOWS:
        named = all(kind != "sign" or value == "." for kind, value in tokens)
        rest = words[2:] if words[1:2] == ["create"] else words[1:]
        return Risk.NONE if named and _BEGINNING.isdisjoint(rest) else Risk.HIGH
    if _TRANSACTION.fullmatch(text.lower()):
        return Risk.MEDIUM  # by itself it makes earlier changes last, or undoes them
    if words[0] == "explain":
        said = _EXPLAIN.match(text.lower())
        text = text[said.end() :].strip() if said else text
    if text.split(" ", 1)[0].lower() not in PARSED:
        return Risk.HIGH
    tree = _parse(text)
    return Risk.HIGH if tree is None else _tree(tree)


def _parse(text: str) -> Expr | None:
    """The tree of one statement; None when the parser does not understand all of it."""
    import sqlglot

    _quiet()
    try:
        found = sqlglot.parse(text, dialect="postgres")
    except sqlglot.errors.SqlglotError:
        return None
    return found[0] if len(found) == 1 else None


@functools.cache
def _quiet() -> None:
    """The parser warns on stderr about what it does not know; here that is an answer: high."""
    import logging

    logging.getLogger("sqlglot").setLevel(logging.ERROR)


def _tree(tree: Expr) -> Risk:
    kind = type(tree).__name__
    if _reads_logins(tree):
        return Risk.HIGH
    if kind in ("Select", "Union", "Except", "Intersect", "Values", "Subquery"):
        return Risk.NONE if _made_of(tree, _READING) else Risk.HIGH
    if _of_the_database(tree.this):
        return Risk.HIGH
    if kind in ("Insert", "Update", "Delete"):
        if not _made_of(tree, _CHANGING) or tree.args.get("overwrite") or _nested_change(tree):
            return Risk.HIGH
        if kind == "Insert":
            return Risk.MEDIUM
        where = tree.args.get("where")
        changed = tree.this
        if changed.args.get("joins") or tree.args.get("tables"):
            return Risk.HIGH  # which of them is changed is said elsewhere
        joined = tree.args.get("from_") or tree.args.get("using")
        of = changed.alias_or_name if joined else None
        return Risk.MEDIUM if where is not None and _names_rows(where.this, of) else Risk.HIGH
    if kind == "Create":
        new = tree.args.get("kind") in ("TABLE", "INDEX", "VIEW") and not tree.args.get("replace")
        return Risk.MEDIUM if new and _made_of(tree, _MAKING) else Risk.HIGH
    if kind == "Alter":
        table = tree.args.get("kind") == "TABLE"
        return Risk.MEDIUM if table and _made_of(tree, _MAKING) else Risk.HIGH
    return Risk.HIGH


def _made_of(tree: Expr, kinds: frozenset[str]) -> bool:
    """Whether every node is one of these or a known function, and no bare name begins a statement."""
    from sqlglot import expressions

    for node in tree.walk():
        kind = type(node).__name__
        if isinstance(node, expressions.Anonymous):
            if str(node.this).lower() not in _FUNCTIONS:
                return False
        elif isinstance(node, expressions.Func):
            named = any(name.lower() in _FUNCTIONS for name in type(node).sql_names())
            if not named and kind not in kinds:
                return False
        elif kind not in kinds:
            return False
        elif kind == "Identifier" and not node.args.get("quoted"):
            if str(node.this).lower() in _BEGINNING:
                return False
        elif kind == "Table" and not re.fullmatch(r"[\w -]*", node.name):
            return False  # a file, to databases that read such
    return True


def _of_the_database(changed: Expr | str | None) -> bool:
    """Whether what is changed is a table in which a database keeps what it knows of itself."""
    from sqlglot import expressions

    table = None if not changed or isinstance(changed, str) else changed.find(expressions.Table)
    if table is None:
        return True
    within = {table.catalog.lower(), table.db.lower()}
    return bool(within & _OWN_SCHEMAS or _OWN_TABLES.fullmatch(table.name))


def _reads_logins(tree: Expr) -> bool:
    """Whether a table is named in which a database keeps passwords."""
    from sqlglot import expressions

    return any(
        _LOGINS.fullmatch(table.name)
        or (table.db.lower() == "mysql" and _LOGINS_OF_MYSQL.fullmatch(table.name))
        for table in tree.find_all(expressions.Table)
    )


def _nested_change(tree: Expr) -> bool:
    """Whether a change holds a second one, such as a WITH that deletes."""
    changes = ("Insert", "Update", "Delete")
    return any(type(node).__name__ in changes for node in tree.walk() if node is not tree)


def _names_rows(where: Expr, of: str | None) -> bool:
    """Whether a condition takes some rows by what is in them, and cannot be true of all.

    Args:
        of: The table that is changed where there are others beside it: a row of another one says nothing of its rows.
    """
    kind, sides = type(where).__name__, (where.args.get("this"), where.args.get("expression"))
    if kind == "Paren":
        return _names_rows(where.this, of)
    if kind == "And":
        return any(side is not None and _names_rows(side, of) for side in sides)
    if kind == "Or":
        return all(side is not None and _names_rows(side, of) for side in sides)
    column = sides[0]
    if column is None or type(column).__name__ != "Column" or where.args.get("negate"):
        return False
    if of is not None and (column.db or column.table != of):
        return False
    if kind == "EQ":
        return _is_value(sides[1])
    if kind == "Is":
        return type(sides[1]).__name__ == "Null"
    if kind == "In":
        values = where.args.get("expressions")
        return bool(values) and all(map(_is_value, values)) and not where.args.get("query")
    if kind == "Like":
        return _is_value(sides[1]) and not re.match(r"%|_|$", where.expression.name)
    if kind in ("LT", "LTE"):
        return _is_day(sides[1])  # up to then
    return kind == "Between" and _is_day(where.args.get("low")) and _is_day(where.args.get("high"))


def _is_value(node: Expr | None) -> bool:
    kind = type(node).__name__
    if kind in ("Neg", "Cast", "Paren") and node is not None:
        return _is_value(node.this)
    return kind in ("Literal", "Placeholder", "Parameter", "Boolean")


def _is_day(node: Expr | None) -> bool:
    """A day that is past, or a time before now. A range up to a day to come, or over numbers, may be all there are."""
    if node is None:
        return False
    if type(node).__name__ == "Literal":
        said = node.args.get("is_string") and _DAY.fullmatch(node.name)
        return bool(said) and node.name[:10] <= (clock.rfc3339(clock.now()) or "")[:10]
    kinds = {type(part).__name__ for part in node.walk()}
    return (
        type(node).__name__ == "Sub"
        and "Interval" in kinds
        and kinds <= {"Sub", "Interval", "Literal", "Var", "CurrentTimestamp", "CurrentDate"}
    )
