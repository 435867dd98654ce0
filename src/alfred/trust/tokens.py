"""What secrets look like: formats of well-known issuers, and the words that announce a secret.

Data for `signs`. Sources: the issuers' documentation, and the public rule sets of gitleaks and
trufflehog. Each format names a literal that must occur, so that a text without it costs one search. Group `v`, where
there is one, is the secret; else the whole match is.

Every pattern is linear: no two neighbouring repetitions can match the same character.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import NamedTuple


class Format(NamedTuple):
    """A kind of secret: its name in the tag, a literal that occurs in each, the regular expression.

    `re` looks for a literal a hundred times faster than for a place where a word begins. Where a format begins with none,
    `back` says how many characters at most stand before `probe` (the literal itself, or an expression that begins with it):
    only there it is looked for.
    """

    kind: str
    hint: str
    source: str
    back: int | None = None
    probe: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled at first use (and kept by `re`): a hundred at import would cost every command."""
        return re.compile(self.source)

    def finds(self, text: str) -> Iterator[re.Match[str]]:
        """Each in a text, in their order."""
        if self.hint not in text:
            return
        pattern = self.pattern
        if self.back is None:
            yield from pattern.finditer(text)
            return
        done = 0
        for near in re.finditer(self.probe or re.escape(self.hint), text):
            for at in range(max(done, near.start() - self.back), near.start() + 1):
                if found := pattern.match(text, at):
                    yield found
                    done = found.end()
                    break


# The letter before a word may be the end of an escape: `\n`, `\u0026`, `%3D`, the colour of a terminal.
_ESCAPES = (
    *(r"\\[nrtbf]", r"\\u[0-9A-Fa-f]{4}", "%[0-9A-Fa-f]{2}"),
    *(r"\x1b\[m", r"\x1b\[\dm", r"\x1b\[\d\dm", r"\x1b\[\d;\d\dm"),
)
ESCAPE = re.compile("|".join(_ESCAPES))
_END = r"(?![A-Za-z0-9])"


def _begins(literal: str = "") -> str:
    """What stands before this place, and before the literal that has just been read, is no part of a longer word."""
    escaped = (f"(?<={escape}{literal})" for escape in _ESCAPES)
    return f"(?:(?<![A-Za-z0-9_-]{literal})|{'|'.join(escaped)})"


def _f(
    kind: str,
    hint: str,
    pattern: str,
    *,
    left: str = "",
    end: str = _END,
    back: int | None = None,
    probe: str = "",
) -> Format:
    if not left and pattern.startswith(hint):
        # First the literal, then what may not stand before it: only so does `re` look for the literal.
        return Format(kind, hint, f"{hint}{_begins(hint)}{pattern[len(hint) :]}{end}")
    return Format(kind, hint, _begins() + left + pattern + end, back, probe)


FORMATS: tuple[Format, ...] = (
    Format(
        "private-key",
        "PRIVATE KEY",
        # Ended, or cut off: then as far as there are lines of base64 and armour headers.
        (
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:(?!-----)[\s\S]){0,40000}-----END (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:(?:\s|\\[nr])+(?:[A-Za-z0-9+/=]{20,}|[A-Z][A-Za-z-]{2,20}:[^\r\n]{0,200})){0,2000}"
            r"(?:(?:\s|\\[nr])+[A-Za-z0-9+/=]{1,64}(?=\s*(?:[\r\n]|\Z)))?\s*)"
        ),
    ),
    Format(
        "private-key",
        "PuTTY-User-Key-File",
        (r"(?<=Private-Lines: )(?P<v>[\s\S]{20,20000}?)(?=\nPrivate-MAC|\Z)"),
    ),
    _f("age-key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58,}"),
    # model providers
    _f("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _f("openrouter-key", "sk-or-", r"sk-or-[A-Za-z0-9_-]{16,}"),
    _f("openai-key", "sk-", r"sk-(?:proj|svcacct|admin|service|None)-[A-Za-z0-9_-]{16,}"),
    _f("openai-key", "T3BlbkFJ", r"sk-[A-Za-z0-9]{16,24}T3BlbkFJ[A-Za-z0-9]{16,24}"),
    _f("openai-key", "sk-", r"sk-(?=[a-zA-Z]*[0-9])[A-Za-z0-9]{32,64}"),
    _f("openai-session", "sess-", r"sess-[A-Za-z0-9]{40}"),
    _f("google-key", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _f("google-secret", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{24,}"),
    _f("google-token", "ya29.", r"ya29\.[0-9A-Za-z_-]{20,}"),
    _f("google-refresh", "1//0", r"1//0[0-9A-Za-z_-]{30,}"),
    _f("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),
    _f("xai-key", "xai-", r"xai-[A-Za-z0-9]{60,}"),
    _f("huggingface-token", "hf_", r"hf_[A-Za-z0-9]{30,}"),
    _f("replicate-token", "r8_", r"r8_[A-Za-z0-9]{36,}"),
    _f("perplexity-key", "pplx-", r"pplx-[A-Za-z0-9]{40,}"),
    _f("tavily-key", "tvly-", r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{20,}"),
    _f("fireworks-key", "fw_", r"fw_[A-Za-z0-9]{22,}"),
    _f("cerebras-key", "csk-", r"csk-[a-z0-9]{40,}"),
    _f("nvidia-key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{60,}"),
    # code and packages
    _f("github-token", "gh", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _f("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{30,255}"),
    _f("gitlab-token", "gl", r"gl(?:pat|dt|rt|ptt|cbt|ft|imt|soat|oas|agent)-[A-Za-z0-9_.-]{20,}"),
    _f("bitbucket-token", "ATBB", r"ATBB[A-Za-z0-9]{28,}"),
    _f("atlassian-token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{60,}"),
    _f("npm-token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _f("pypi-token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _f("rubygems-key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _f("crates-token", "cio", r"cio[A-Za-z0-9]{32}"),
    _f("nuget-key", "oy2", r"oy2[a-z0-9]{43}"),
    _f("docker-token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    _f("postman-key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    # clouds
    _f("aws-key-id", "A", r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}"),
    _f("aws-session", "IQoJb3JpZ2lu", r"IQoJb3JpZ2lu[A-Za-z0-9+/=]{80,}", end=""),
    Format("azure-key", "AccountKey=", (r"AccountKey=(?P<v>[A-Za-z0-9+/]{80,}={0,2})")),
    Format("azure-sas", "sig=", (r"(?<=[?&])sig=(?P<v>[A-Za-z0-9%+/]{40,}={0,2})")),
    _f("azure-secret", "Q~", r"[A-Za-z0-9_.~-]{3}[0-9]Q~[A-Za-z0-9_.~-]{31,34}", back=4),
    _f("digitalocean-token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}", back=3),
    _f("heroku-key", "HRKU-", r"HRKU-[A-Za-z0-9_-]{30,}"),
    _f("fly-token", "FlyV1 ", r"FlyV1 fm\d_[A-Za-z0-9+/=,_-]{40,}", end=""),
    _f("cloudflare-key", "v1.0-", r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    _f("vault-token", "hv", r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    _f(
        "terraform-token",
        ".atlasv1.",
        r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}",
        end="",
        back=14,
    ),
    _f("doppler-token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}"),
    _f("databricks-token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?"),
    _f("planetscale-token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{30,}"),
    _f("supabase-key", "sb", r"sb(?:p_[a-f0-9]{40}|_secret_[A-Za-z0-9_-]{20,})"),
    _f("tailscale-key", "tskey-", r"tskey-[a-z]{3,12}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}"),
    _f("onepassword-token", "ops_ey", r"ops_ey[A-Za-z0-9_=-]{80,}"),
    # money
    _f(
        "stripe-key",
        "k_",
        r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        back=1,
        probe="k_(?:live|test)_",
    ),
    _f("webhook-secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,}", end=""),
    _f("square-token", "sq0", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}"),
    _f("shopify-token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _f(
        "paypal-token",
        "access_token$",
        r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}",
    ),
    # people and messages
    _f("slack-token", "xox", r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
    _f("slack-token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{20,}"),
    Format(
        "slack-webhook",
        "hooks.slack.com/",
        (r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<v>[A-Za-z0-9+/]{20,})"),
    ),
    Format(
        "discord-webhook",
        "/api/webhooks/",
        (r"discord(?:app)?\.com/api/webhooks/\d{15,22}/(?P<v>[A-Za-z0-9_-]{50,})"),
    ),
    _f(
        "discord-token",
        ".",
        r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,42}",
        back=28,
        probe=r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
    ),
    _f(
        "telegram-token",
        ":",
        r"\d{8,10}:[A-Za-z0-9_-]{35}",
        left=r"(?:bot)?(?=\d)",
        back=13,
        probe=r":[A-Za-z0-9_-]{35}",
    ),
    Format(
        "teams-webhook",
        "webhook.office.com/",
        (r"webhook\.office\.com/webhookb2/(?P<v>[A-Za-z0-9@/-]{60,})"),
    ),
    _f("twilio-key", "SK", r"SK[a-f0-9]{32}"),
    _f("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _f("mailgun-key", "key-", r"key-[a-f0-9]{32}"),
    _f("mailchimp-key", "-us", r"[a-f0-9]{32}-us\d{1,2}", back=32, probe=r"-us\d"),
    _f("brevo-key", "xkeysib-", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    _f("resend-key", "re_", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"),
    _f("notion-token", "ntn_", r"ntn_[A-Za-z0-9]{40,}"),
    _f("notion-token", "secret_", r"secret_[A-Za-z0-9]{43}"),
    _f("linear-key", "lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}"),
    _f(
        "asana-token",
        "/",
        r"[12]/\d{12,20}(?:/\d{12,20})?:[a-f0-9]{32}",
        back=22,
        probe=r"/\d{12,20}:[a-f0-9]{32}",
    ),
    _f("figma-token", "fig", r"fig[dour]_[A-Za-z0-9_-]{40,}"),
    _f("airtable-token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    _f("dropbox-token", "sl.", r"sl\.(?:u\.)?[A-Za-z0-9_-]{100,}"),
    # watching
    _f(
        "grafana-token", "gl", r"gl(?:sa_[A-Za-z0-9]{32}_[a-f0-9]{8}|c_[A-Za-z0-9+/=]{32,})", end=""
    ),
    _f("sentry-token", "sntr", r"sntr(?:ys_eyJ[A-Za-z0-9+/=_-]{60,}|yu_[a-f0-9]{64})", end=""),
    _f("newrelic-key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    _f("alfred-token", "alf_", r"alf_[A-Za-z0-9_-]{20,}"),
    # everywhere
    _f(
        "jwt",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{10,}",
    ),
    Format(
        "url-password",
        "://",
        (r"://[^\s/?#@:\"'<>\[\]]{0,128}:(?P<v>[^\s/?#@\"'<>]{1,256})(?=@[^\s@/])"),
    ),
    Format("url-password", "://", (r"://(?P<v>[A-Za-z0-9_.~%-]{20,256})(?=@[^\s@/])")),
    Format(
        "authorization",
        "uthorization",
        (
            r"(?i:(?:proxy-)?authorization)[\"']?[ \t]*[:=][ \t]*[\"']?(?:(?i:bearer|basic|token|digest|bot|apikey|negotiate|aws4-hmac-sha256)[ \t]+)?(?P<v>[^\s\"',;]{6,8192})"
        ),
    ),
    Format(
        "bearer",
        "earer",
        (_begins() + r"[Bb]earer[ \t]+(?P<v>[A-Za-z0-9._~+/=-]{16,8192})"),
        back=1,
        probe=r"earer[ \t]",
    ),
    Format(
        "cookie",
        "ookie",
        (
            r"(?im:(?:^|"
            + "|".join(_ESCAPES)
            + r")[ \t<>*+-]*(?:set-)?cookie[\"']?[ \t]*:[ \t]*[\"']?)(?P<v>[^\r\n\"']{6,8192})"
        ),
    ),
    Format(
        "basic-auth",
        "curl",
        (
            _begins()
            + r"curl\b[^\n|;]{0,200}?[ \t](?:-u|--user)[ \t=]?[\"']?[^\s:\"']{1,128}:(?P<v>[^\s\"']{3,256})"
        ),
        back=0,
    ),
)

# The end of a name that announces a secret: `DB_PASSWORD`, `x-api-key`, `clientSecret`, `--token`.
_WEAK = r"api[_-]?key|access[_-]?key|secret[_-]?(?:access[_-]?)?key|secret|token|auth[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|master[_-]?key|session[_-]?key|shared[_-]?key|account[_-]?key|license[_-]?key|service[_-]?key|webhook[_-]?key|credentials?|authkey|apikey"
_STRONG = r"passw(?:or)?d|passphrase|passwd|pwd|passcode"
# What each of these words begins with, in lower case: looked for first, because a plain search is fast.
STARTS = (
    *("api", "access", "secret", "token", "auth", "private", "signing", "encryption", "master"),
    *("session", "shared", "account", "license", "service", "webhook", "credential", "passw"),
    *("passphrase", "passcode", "pwd"),
)
_WORD = rf"(?:(?P<strong>{_STRONG})|(?P<weak>{_WEAK}))\d{{0,2}}"
NAME_LETTERS = frozenset(string.ascii_letters + string.digits + "_.-")

# `name = value`, `name: value`, `"name": "value"`, `name => value`, `--name value`, never across lines.
# It starts at the telling word, so that a long name is not tried from each of its letters.
CONTEXT = re.compile(
    rf"(?i){_WORD}(?![A-Za-z0-9_])"
    r"(?P<sep>\\?[\"']?\]?[ \t]{0,8}(?::=|=>|==?|:)[ \t]{0,8}|[ \t]{1,8}(?=\S))"
    r"(?:(?P<q>\\?[\"'`])(?P<quoted>(?:(?!(?P=q))[^\r\n]){1,4096})(?P=q)"
    r"|(?P<bare>[^\s\"'`,;<>(){}\[\]]{1,4096}))"
)
SECRET_NAME = re.compile(rf"(?i)[A-Za-z0-9_.-]{{0,64}}?{_WORD}")

# Cursors and counters that only look like it: the model needs them to go on reading.
HARMLESS_NAME = re.compile(
    r"(?i)(?:page|continuation|next|sync|pagination|cursor|resume|delta|start|forward|backward)[_.-]?tokens?$"
    r"|(?:token|secret|password|key)[_-]?(?:type|name|id|url|uri|path|file|field|length|count|policy|hint)$"
    r"|^(?:public|primary|foreign|cache|sort|partition)[_-]?key$"
)

FOLDERS = ("PWD", "OLDPWD")
"""Where a shell stands, and stood: no password, as `PWD` is in an ODBC string."""

# Values that stand for a secret without being one.
PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|change[_-]?me|replace[_-]?me|your[_-]|[_-]here$|^my[_-]|dummy|redacted|"
    r"^(?:null|none|nil|true|false|undefined|empty|required|optional|string|str|bytes|secret|password|"
    r"token|bearer|basic|hidden|unset|todo|test|default)$|^<[^>]*>$|^\$\{?\w+\}?$|\$[({]|^\{\{?.*\}$|"
    r"^%\w+%$|^\[.*\]$|^\(|\.\.\.|…|\*{3}|x{5}|^(.)\1+$"
    r"|^(?:env|vault|secret|op|ref|file|arn|ssm|keyring):"
)

# Published by the issuers in their manuals: hiding them would only confuse.
EXAMPLES = frozenset(
    {
        "AKIAIOSFODNN7EXAMPLE",
        "AKIAI44QH8DHBEXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
        "sk_test_BQokikJOvBiI2HlWgH4olfQ2",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0Ij"
        "oxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    }
)
