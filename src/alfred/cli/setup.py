"""Commands for the home and its settings."""

from __future__ import annotations

import os

from alfred import app, config, config_edit, config_schema, config_splice, errors, home
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common


def setup(*, common: Common = DEFAULT) -> int:
    """Make the home, and a first config.yaml."""
    folder = common.folder()
    home.ensure(folder)
    _warn()
    made = config_edit.write_default(folder)
    with app.base(folder=folder) as base:
        from alfred.agents import choice
        from alfred.trust import sandbox, secrets

        try:
            found = choice.choose(
                base.settings,
                secrets=lambda name: secrets.get(name, home=folder),
                env=os.environ,
                env_file=home.env_file(folder),
            )
            model: str | None = found.model
            told = f"model: {found.model}.{' ' if found.why else ''}{found.why}"
        except errors.NoModel as problem:
            model, told = None, f"model: none yet. {problem.next}"
        except errors.ConfigError as problem:
            model, told = None, f"model: none yet. {problem.detail} {problem.next or ''}".rstrip()
        box = sandbox.available()
        if common.json:
            terminal.document(
                {"home": str(folder), "config_made": made, "model": model, "sandbox": box.kind}
            )
            return 0
        terminal.out(
            f"home: {terminal.shown(str(folder), 400)}{' (config.yaml made)' if made else ''}"
        )
        terminal.out(f"ledger: {'Postgres' if base.store.pg else 'SQLite, nothing to install'}")
        terminal.out(told)
        terminal.out(f"sandbox: {box.kind or 'none: ' + box.reason}")
        terminal.out("")
        first = "" if model else "give it a model, as said above, then "
        terminal.out(f'Next: {first}alfred run "look at this folder and tell me what it is"')
        return 0


def show_settings(*, common: Common = DEFAULT) -> int:
    """Every value, and where it comes from."""
    shown = config.sources(app.settings_of(common.folder()))
    _warn()
    if common.json:
        terminal.document(shown)
        return 0
    for key, entry in shown.items():
        source = "" if entry["source"] == "default" else f"   ({entry['source']})"
        value = terminal.shown(config_splice.yaml_text(entry["value"]), 200)
        terminal.out(f"{key}: {value}{source}")
    return 0


def edit_setting(key: str, value: str, /, *, common: Common = DEFAULT) -> int:
    """Set one value, keeping comments.

    Args:
        key: The dotted key, for example budget.per_run_usd.
        value: The new value; a list or a mapping as YAML in one line, as in [a, b] or {a: 1}.
    """
    folder = common.folder()
    home.ensure(folder)
    _warn()
    shown = config_edit.as_shown(config_edit.edit(folder, key, value, check=app.check), key)
    if common.json:
        terminal.document({"key": key, "value": shown})
    else:
        terminal.out(f"{terminal.shown(key)} is now {terminal.shown(shown, 400)}.")
    return 0


def print_schema(*, common: Common = DEFAULT) -> int:
    """The JSON schema of config.yaml."""
    _warn()
    terminal.document(config_schema.json_schema())
    return 0


def _warn() -> None:
    for warning in config.mistyped(os.environ):
        terminal.say(warning)
