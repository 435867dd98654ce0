"""Command-line options by closed lists: what is not listed is not known.

Invariant: no abbreviation is expanded and nothing is guessed, so an option that a program would accept as
the beginning of a longer one is unknown here.
"""

from __future__ import annotations

from dataclasses import dataclass

from alfred.actions.syntax import Word


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a command that do not change what it is."""

    short: str = ""
    """Letters that may stand together; digits may follow."""
    valued: str = ""
    """Letters whose value follows in the same word or the next."""
    long: frozenset[str] = frozenset()
    """Without `--`; with or without `=value`."""

    def fit(self, word: str) -> bool:
        """Whether a word that starts with `-` is one of them, or several letters of them; another one, such as a pattern
        that may find a file of such a name, is not."""
        if word in ("-", "--"):
            return True
        if not word.startswith("-"):
            return False
        if word.startswith("--"):
            return word[2:].partition("=")[0] in self.long
        for n, letter in enumerate(word[1:], 1):
            if letter in self.valued:
                return True
            if letter not in self.short and not (letter.isdigit() and self.short):
                return False
            if n > 200:
                return False
        return True


def fits(rest: tuple[Word, ...], options: Options) -> bool:
    """Whether every word that is or may become an option is one of these."""
    return all(
        not word.option_like or options.fit(word.text or "?") for word in before_operands(rest)
    )


def before_operands(rest: tuple[Word, ...]) -> tuple[Word, ...]:
    """The words in front of `--`, behind which everything is an operand."""
    texts = [word.text for word in rest]
    return rest[: texts.index("--")] if "--" in texts else rest


def plain(rest: tuple[Word, ...]) -> tuple[Word, ...]:
    """The words that cannot be options, wherever they stand."""
    return tuple(word for word in rest if not word.option_like)


def operands(rest: tuple[Word, ...]) -> tuple[Word, ...]:
    """What the command is about: everything that is no option, and everything behind `--`."""
    front = before_operands(rest)
    named = (w for w in front if w.text == "-" or not (w.text or "").startswith("-"))
    return (*named, *rest[len(front) + 1 :])


def values(rest: tuple[Word, ...], valued: str) -> list[Word]:
    """The operands, without those that are the value of the short option before them."""
    found, skip = [], False
    for word in rest:
        text = word.text or ""
        if skip:
            skip = False
        elif text.startswith("-") and len(text) > 1:
            letters = "" if text.startswith("--") else text[1:]
            first = next((n for n, letter in enumerate(letters) if letter in valued), None)
            skip = first is not None and first == len(letters) - 1
        else:
            found.append(word)
    return found
