"""What the command lines of services can do, as tables: clouds, clusters, containers, packages, GitHub.

Only data. A verb is the beginning of the words behind the program (and behind options that stand before
it): what only reads, what tidies up, what changes something. What no line of a table knows is medium, and
so is a reading verb with an option that is not listed. `HIGH_WORDS` raise it, wherever they stand: nobody
sees from here what is production, so deleting and rolling out count as such.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from alfred.actions.kinds import Risk
from alfred.actions.options import Options


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _verbs(text: str) -> re.Pattern[str]:
    """One verb a line; each is a regular expression over words."""
    lines = "|".join(line.strip() for line in text.strip().splitlines())
    return re.compile(rf"(?:{lines})(?= |$)" if lines else r"(?!)")


_NO_VERB = _verbs("")


READING = _words(
    "all-namespaces all json output format query filter filters limit page-size max-items region profile "
    "project namespace selector since since-time until tail follow timestamps previous watch no-color "
    "quiet verbose help version no-pager no-paginate sort-by sort-columns show-labels label-columns "
    "field-selector container names-only state author assignee label repo search jq no-trunc latest size "
    "outdated depth job branch comments color name-only patch check diff recursive "
    "instance-ids bucket prefix zone uri flatten no-headers head short long details revision max "
    "function-name db-instance-identifier stack-name cluster table-name log-group-name "
    "start-time end-time user event workflow status draft base owner language sort order archived "
    "visibility installed upgradable"
)
"""Long options that let a reading verb only read."""


@dataclass(frozen=True, slots=True)
class Service:
    """The command line of one service."""

    reads: re.Pattern[str]
    tidies: re.Pattern[str] = _NO_VERB
    changes: re.Pattern[str] = _NO_VERB
    """Medium, also where one of its own words is a high one: `docker rm`."""
    before: frozenset[str] = frozenset()
    """Options that may stand before the verb and whose value follows."""
    high: frozenset[str] = frozenset()
    """Words of its own that are high."""
    mild: frozenset[str] = frozenset()
    """High words that are the name of a thing here."""
    flags: str = ""
    """Short options that let a reading verb only read, and may stand together."""
    letters: str = ""
    """Those whose value follows."""
    long: frozenset[str] = frozenset()
    """Its own long ones: elsewhere a word such as `--log` may name a file to write."""
    other: Risk = Risk.MEDIUM
    """What no table knows."""
    elsewhere: re.Pattern[str] = re.compile(r"://|^[/~]|\.\.")
    """Operands that lead away: code from there, or files to there."""
    reach: re.Pattern[str] = re.compile(r"^(https?|oci|git|ssh|ftp)\S*://|^git@")
    """What makes a reading verb ask a place that the operand names, or run what lies there."""


SECRET_WORDS = _words(
    "secret secrets secretsmanager password passwords passwd token tokens key keys keypair accesskey apikey authtoken "
    "credential credentials kubeconfig login otp cert certificate decrypt ssm parameter parameters "
    "endpoint proxy server insecure raw impersonate as-user"
)
"""Reading these is no small thing, and neither is asking another server."""

HIGH_WORDS = SECRET_WORDS | _words(
    "delete deletes destroy drop purge terminate truncate wipe erase remove rm force prune nuke reset "
    "deploy redeploy apply install upgrade uninstall rollout rollback promote publish push upload release "
    "send invoke execute exec ssh eval "
    "iam kms role roles policy policies permission permissions rbac grant revoke rotate acl public share "
    "user users group groups member members admin root privileged billing billingconductor budget budgets "
    "payment payments purchase buy subscribe subscription reserved invoice cost organizations account "
    "prod production live master main transfer disable detach shutdown stop kill drain evict cordon "
    "import restore replace patch recursive yes auto approve all"
)
"""As a part of any word (`delete-stack`, `--all`): gone, rolled out, sent, paid, or allowed."""

TIDYING = Options("fyq", "", _words("force yes quiet"))
"""Options that let a tidying verb only tidy."""

_AWS = Service(
    _verbs(
        r"""
        s3 ls
        sts get-caller-identity
        configure list
        logs tail
        (?!iam|kms|ssm|secretsmanager|sso|cognito|organizations)[a-z0-9-]+ (describe|list|head|lookup)-[a-z0-9-]+
        (iam|kms|organizations) list-[a-z0-9-]+
        (s3api|ec2|logs|cloudwatch|sqs|ce|athena) get-(bucket|metric|log|query|cost)[a-z-]*
        help
        """
    ),
    changes=_verbs(r"(ec2|rds|ecs) (start|stop|reboot)-[a-z-]+|ec2 create-tags"),
    before=_words("--region --profile --output"),
    high=_words(
        "cp mv rb sync put presign website code function stack attach associate authorize modify run change "
        "deployment execution pipeline environment job build desired register domain savings spot allocate export"
    ),
)
_KUBECTL = Service(
    _verbs(
        r"""
        get (all|pods?|po|nodes?|no|services?|svc|deployments?|deploy|namespaces?|ns|events?|ev|ingress(es)?|ing|jobs?|cronjobs?|replicasets?|rs|statefulsets?|sts|daemonsets?|ds|pvc|pv|hpa|endpoints|cm|configmaps?)
        describe (pods?|po|nodes?|no|services?|svc|deployments?|deploy|namespaces?|ns|ingress(es)?|ing|jobs?|cronjobs?|pvc|pv|hpa)
        logs
        top (pods?|nodes?)
        (cluster-info|version|api-resources|api-versions|explain|diff|wait)
        rollout (status|history)
        config (current-context|get-contexts)
        auth can-i
        """
    ),
    changes=_verbs(r"delete pods?|rollout (restart|pause|resume)|scale|label|annotate|uncordon"),
    before=_words("-n --namespace --context"),
    high=_words(
        "cp run attach port proxy debug edit set config taint expose clusterrole clusterrolebinding "
        "rolebinding serviceaccount serviceaccounts f filename k kustomize s create autoscale"
    ),
    mild=_words("deploy"),
    flags="Awfp",
    letters="olLcn",
    other=Risk.HIGH,  # a verb that it does not know is a plug-in: any program
)
_DOCKER = Service(
    _verbs(
        r"""
        (ps|images|logs|top|stats|port|version|info|history|diff|events|search)
        (container|image|volume|network|context|node|service|stack|system) (ls|list|df|info|logs|ps)
        (volume|network|image|context) inspect
        compose (ps|ls|logs|images|top|port|version)
        """
    ),
    _verbs(r"(image|builder|buildx) prune"),
    _verbs(
        r"""
        (rm|rmi|stop|restart|start|pause|unpause|pull|build|tag|rename|wait)
        (container|image) (rm|stop|start|restart|pull|build|tag)
        network (create|connect|disconnect|rm)
        volume create
        compose (build|pull|start|stop|restart|config)
        buildx build
        """
    ),
    high=_words(
        "run cp save load export commit swarm secret plugin trust inspect kill down up create volumes v volume mount privileged allow entitlement iidfile to fv vf"
    ),
    flags="aqlts",
    long=_words("no-stream"),
    letters="nf",
    other=Risk.HIGH,
)
_TERRAFORM = Service(
    _verbs(r"version|fmt -check|state list|workspace (list|show)|-?-?(help|version)"),
    changes=_verbs(r"(validate|graph|plan|init|fmt|show|output|refresh|workspace (new|select))"),
    high=_words("taint untaint mv unlock json console test replace out migrate backend plugin"),
)
_HELM = Service(
    _verbs(
        r"(list|ls|status|history|version|lint|template|search (hub|repo)|repo list|show (chart|readme|values|all)|get notes|dependency list)"
    ),
    changes=_verbs(
        r"(repo (add|update)|dependency (update|build)|pull|package|create|get (values|manifest|all))"
    ),
    before=_words("-n --namespace"),
    high=_words("renderer plugin test registry apiserver"),
    flags="Aaqr",
    letters="onl",
    other=Risk.HIGH,
)
_GCLOUD = Service(
    _verbs(
        r"""
        (projects|services|components|functions|builds) (list|describe)
        compute (instances|disks|networks|firewall-rules|addresses|images|snapshots|zones|regions|machine-types) (list|describe)
        (container clusters|sql instances|run services|storage buckets|pubsub topics|dns managed-zones|artifacts repositories|logging logs) (list|describe)
        (app|functions|run) logs read
        (config list|info|version|help|topic)
        """
    ),
    before=_words("--project --region --zone --format"),
    high=_words(
        "ssh scp add print access cp rsync mv call submit firewall allow update run deployments migrate traffic "
        "export resize flags"
    ),
)
_LOCAL = re.compile(r"[/:]|^[.~]")
"""What is no plain name of a package."""
_NPM = Service(
    _verbs(
        r"""
        (ls|list|ll|view|info|show|outdated|audit$|search|root|prefix|bin|why|explain|fund|ping|help|version)
        (pkg get|config (ls|list|get)|cache (ls|verify))
        """
    ),
    _verbs(r"cache (clean|verify)"),
    _verbs(r"(uninstall|remove|rm|un|prune|dedupe|pkg set)"),
    high=_words(
        "run test start restart exec x i add ci un up update init link pack explore adduser logout owner "
        "access dist tag deprecate unpublish star hook org profile team script scripts registry global g "
        "config set prefix rebuild"
    ),
    other=Risk.HIGH,  # it takes any beginning of a verb: `npm ins` installs
    elsewhere=_LOCAL,
    reach=re.compile(r"^[^-@].*[/:]|^@.*/.*[/:]|^[.~]"),  # what no registry has is fetched with git
    flags="l",
)
_SCRIPTS = dataclasses.replace(
    _NPM,
    tidies=_verbs(r"cache clean|store prune"),  # and what they do not know is the name of a script
)
_PIP = Service(
    _verbs(
        r"""
        (list|show|freeze|check|inspect|help|index versions)
        (config (list|get)|cache (dir|info|list))
        """
    ),
    _verbs(r"cache (purge|remove)"),
    _verbs(r"uninstall"),
    high=_words(
        "download wheel sync index url find links editable e target t prefix host break system config"
    ),
    elsewhere=_LOCAL,
    flags="lovq",
)
_GH = Service(
    _verbs(
        r"""
        (pr|issue|run|release|repo|workflow|label|cache|gist|ruleset|project) (list|view)
        (pr|issue) status
        pr (checks|diff)
        run watch
        variable list
        auth status$
        search (issues|prs|repos|commits|code)
        (status|help|version)
        """
    ),
    changes=_verbs(
        r"""
        (pr|issue) (create|comment|close|reopen|edit|ready|lock|unlock|pin|unpin|checkout|develop)
        label (create|edit|clone|delete)
        run (cancel|rerun|download)
        cache delete
        repo (clone|fork|set-default)
        release (edit|download)
        """
    ),
    high=_words(
        "merge api auth gist codespace cs extension ext alias variable workflow ruleset archive rename edit sync create key gpg org attestation web"
    ),
    other=Risk.HIGH,  # a noun that it does not know is an extension: any program
    flags="c",
    letters="LRsaAlqtSBj",
    reach=re.compile(r"(?!)"),  # it knows its own addresses
    long=_words("log log-failed"),
)
_SYSTEMCTL = Service(
    _verbs(
        r"(status|is-active|is-enabled|is-failed|list-units|list-timers|list-unit-files|list-sockets|cat|show)"
    ),
    changes=_verbs(r"(restart|reload|try-restart)"),
    other=Risk.HIGH,
    flags="alq",
    letters="npt",
)
_PACKAGES = Service(
    _verbs(r"(list|search|show|info|policy|depends|rdepends|outdated|deps|leaves|config|doctor)"),
    _verbs(r"(clean|autoclean|cleanup)"),
    high=_words("o option c config"),  # a setting, or a file of them, can name a program
    other=Risk.HIGH,
    reach=_LOCAL,  # brew runs a formula that lies there
    flags="aiq",
)

SERVICES: dict[str, Service] = {
    "aws": _AWS,
    "kubectl": _KUBECTL,
    "docker": _DOCKER,
    "podman": _DOCKER,
    "terraform": _TERRAFORM,
    "tofu": _TERRAFORM,
    "helm": _HELM,
    "gcloud": _GCLOUD,
    "npm": _NPM,
    "pnpm": _SCRIPTS,
    "pip": _PIP,
    "pip3": _PIP,
    "gh": _GH,
    "systemctl": _SYSTEMCTL,
    "apt": _PACKAGES,
    "apt-get": _PACKAGES,
    "apt-cache": _PACKAGES,
    "brew": _PACKAGES,
    **{
        name: Service(_verbs(reads), _verbs(tidies), other=Risk.HIGH, elsewhere=_LOCAL)
        for name, reads, tidies in (
            ("go", "version|env$|help", "clean -cache|clean -testcache"),
            ("uv", "version$", "cache (clean|prune)"),  # `pip` runs the workspace's interpreter
            ("java", "-version$", ""),
            ("crontab", "-l", ""),
            ("ulimit", "-a", ""),
            ("dpkg", "-l", ""),
            ("ruff", "version|rule|linter", "clean"),
            ("pre-commit", "help", "clean|gc"),
        )
    },
}
"""By the name of the program."""
