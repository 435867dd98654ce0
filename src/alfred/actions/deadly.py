"""What one command with its words would destroy, wherever it was found: folders, devices, the running host.

Nothing is parsed here: a command is a list of words, None where only the shell knows one.
"""

from __future__ import annotations

import os
import re

_FOLDERS = 64
"""How many folders a text may have been in; more are not followed."""

_WHOLE = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /libx32 /mnt /media /nix /opt /proc /root /run /sbin "
    "/snap /srv /sys /usr /var /Applications /Library /System /Users /Volumes /private /private/etc "
    "/private/var /usr/bin /usr/sbin /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /usr/local /usr/share "
    "/usr/include /var/lib /var/run /var/spool /var/mail /var/db /etc/ssh /etc/ssl /etc/pam.d "
    "/etc/systemd /etc/apt /etc/network".split()
)
"""Never deleted as a whole, nor all that is in them."""
_DEEP = tuple(
    f"{folder}/"
    for folder in (
        "/bin /boot /lib /lib32 /lib64 /proc /sbin /sys /usr/bin /usr/sbin /usr/lib /usr/lib64 /System"
    ).split()
)
"""No folder in these either."""

_DEVICE = re.compile(
    r"/dev/((sd|hd|vd|xvd)[a-z]|nvme\d|mmcblk\d|r?disk\d|md\d|dm-\d|loop\d|mapper/|disk/|k?mem\b|port\b).*"
)

_ERASERS = frozenset("rm rmdir shred srm unlink trash rimraf".split())
_FORMATTERS = re.compile(r"mkfs(\..+)?|mke2fs|mkswap|newfs(_.+)?|wipefs|blkdiscard|mkntfs|mkdosfs")
_PARTITIONERS = frozenset(
    "sgdisk fdisk parted sfdisk gdisk cfdisk badblocks cryptsetup pvremove vgremove lvremove".split()
)
_STARS = 6
"""A path with so many is not compared with folders."""
_WIPING = re.compile(r"--(security-erase|trim-sector|sanitize)|format$|sanitize$")
_SYSRQ = "/proc/sysrq-trigger"
_STARTS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_ACTS = _STARTS | {"-delete"}
"""What a find does to what it comes across."""
SHUTDOWN = frozenset("shutdown reboot poweroff halt".split())
_SYSTEMCTL_DOWN = re.compile(
    r"(poweroff|reboot|halt|kexec|rescue|emergency|soft-reboot|suspend|hibernate|hybrid-sleep)(\.target)?"
)


class Ground:
    """Where commands stand: the home folder, and the folders that they may be in by now."""

    def __init__(self, home: str, folder: str | None) -> None:
        self.home = home
        self.folders: list[str | None] = [folder]

    def enter(self, word: str) -> None:
        """A `cd` leads there, from each of them."""
        there = [_resolve(folder, word) for folder in self.folders[:8]]
        self.folders = list(dict.fromkeys([*self.folders, *there]))[:_FOLDERS]

    def program(self, words: list[str | None]) -> str | None:
        """Why a command of these words is never run; None when it may be."""
        name = base(words[0])
        if name is None:
            return None
        known = [word for word in words[1:] if word is not None]
        if name in _ERASERS:
            recursive = any(re.match(r"-[a-zA-Z]*[rR]|--r", word) for word in known) or name != "rm"
            return self._erased(known, recursive=recursive)
        if name == "find":
            return self._find(known)
        if name == "mv":
            return self._moved(_operands(known)[:-1], "moving")
        if name == "rsync" and any(word.startswith("--del") for word in known):
            return self._moved(_operands(known)[-1:], "emptying")
        if _FORMATTERS.fullmatch(name) and any(
            w is None or w.startswith("/dev/") for w in words[1:]
        ):
            return f"{name} on a device"
        if name in _PARTITIONERS and not {"-l", "--list", "print"} & set(known):
            return f"{name} on a device" if any(map(device, known)) else None
        if name == "diskutil" and re.match(
            r"(secure)?erase|partition|zero", (known or [""])[0], re.I
        ):
            return "diskutil erases a disk"
        if (
            name in ("hdparm", "nvme")
            and any(map(_WIPING.match, known))
            and any(map(device, known))
        ):
            return f"{name} erases a device"
        overwritten = _overwritten(name, known)
        if overwritten == _SYSRQ:
            return "shutting the host down through sysrq"
        if overwritten is not None:
            return f"{name} over the device {overwritten}"
        return _down(name, known)

    def _erased(self, words: list[str], *, recursive: bool) -> str | None:
        if "--no-preserve-root" in words:
            return "deleting the root folder"
        for word in _operands(words):
            if device(word):
                return f"destroying the device {word}"
            for folder in self.folders:
                what = self.protected(folder, word, recursive=recursive)
                if what is not None:
                    return f"deleting {what}"
        return None

    def protected(self, folder: str | None, word: str, *, recursive: bool) -> str | None:
        """What protected folder a word names, itself or by all that is in it."""
        path = _resolve(folder, word)
        if path is None:
            return None
        parent, last = os.path.split(path)
        if re.fullmatch(
            r"[.!^?*\[\]{},]+", re.sub(r"\[[^]]*\]", "*", last)
        ):  # `*`, `.*`, `{*,.*}`, `.[!.]*`, `[a-z]*`
            path = parent
        elif re.search(r"[?*]", path) and path.count("*") < _STARS:
            path = next(filter(re.compile(_pattern(path)).fullmatch, sorted(_WHOLE)), path)
        if path in _WHOLE:
            return path if path == word else f"{path} ({word})"
        if path == self.home or re.fullmatch(r"/(home|Users)/[^/]+", path):
            return f"a home folder ({word})"
        if self.home.startswith(path + "/"):
            return f"a folder that holds the home folder ({word})"
        if recursive and path.startswith(_DEEP):
            return f"a system folder ({word})"
        return None

    def _find(self, words: list[str]) -> str | None:
        first = next((n for n, word in enumerate(words) if word in _STARTS), len(words))
        started = words[first + 1 :]
        erases = "-delete" in words or any(
            base(word) in _ERASERS or re.search(r"\brm\b", word) for word in started
        )
        return (
            self._erased(starts(words), recursive=True) if erases and not chooses(words) else None
        )

    def _moved(self, words: list[str], how: str) -> str | None:
        for word in words:
            for folder in self.folders:
                what = None if "*" in word else self.protected(folder, word, recursive=False)
                if what is not None:
                    return f"{how} {what}"
        return None


def _pattern(path: str) -> str:
    """What the shell finds for a path, as a regular expression."""
    return re.sub(r"\\\*|\\\?", lambda m: "[^/]" + ("*" if m[0] == "\\*" else ""), re.escape(path))


def _down(name: str, words: list[str]) -> str | None:
    """Shutting the host down, or ending everything on it."""
    if {"--help", "--version"} & set(words):
        return None
    down = "shutting the host down"
    if name in SHUTDOWN:
        return None if name == "shutdown" and {"-c", "--show"} & set(words) else down
    if name == "kexec" and {"-e", "--exec"} & set(words):
        return down
    if name in ("init", "telinit") and {"0", "6"} & set(words):
        return down
    if name in ("systemctl", "loginctl") and any(map(_SYSTEMCTL_DOWN.fullmatch, words)):
        return None if {"status", "cat", "show"} & set(words) else down
    if name == "kill":
        signal = (
            2 if words[:1] in (["-s"], ["-n"]) else bool(re.match(r"-[A-Z0-9]", (words or [""])[0]))
        )
        return "ending every process of the host" if {"-1", "1"} & set(words[signal:]) else None
    if name == "killall5" or (name == "pkill" and {".", ".*", "^"} & set(words)):
        return "ending every process of the host"
    return None


def _overwritten(name: str, words: list[str]) -> str | None:
    """The device that a copying command writes over."""
    if name in ("dd", "dcfldd"):
        targets = [word[3:] for word in words if word.startswith("of=")]
    elif name in ("cp", "ddrescue", "mv"):
        targets = _operands(words)[1:]
    elif name in ("tee", "truncate"):
        targets = _operands(words)
    else:
        return None
    return next((target for target in targets if device(target) or target == _SYSRQ), None)


def device(path: str) -> bool:
    """Whether it is a disk, a part of one, or the memory."""
    return _DEVICE.fullmatch(os.path.normpath(path)) is not None


def _operands(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def starts(words: list[str]) -> list[str]:
    """Where a find starts."""
    found = []
    for word in words:
        if word in ("-L", "-P", "-H"):
            continue
        if word.startswith(("-", "(", "!")):
            break
        found.append(word)
    return found


def chooses(words: list[str]) -> bool:
    """Whether a find takes only some of what it comes across, by name: in each of its alternatives that acts."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("-o", "-or", ","):
            parts.append([])
        else:
            parts[-1].append(word)
    return all(map(_names, [part for part in parts if _ACTS & set(part)] or parts))


def _names(words: list[str]) -> bool:
    said = {"-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex"}
    for before, test, value in zip(["", *words], words, [*words[1:], ""], strict=False):
        named = test in said and not re.fullmatch(r"[.*?/]+", value)
        if (named or test == "-empty") and before not in ("!", "-not"):
            return True
    return False


def base(word: str | None) -> str | None:
    """The name of a program, without the folder that it is in."""
    return word.rsplit("/", 1)[-1] if word else None


def _resolve(folder: str | None, word: str) -> str | None:
    """The absolute path of a word by its letters alone; None when it cannot be told."""
    if word.startswith("/"):
        return os.path.normpath("/" + word.lstrip("/"))
    return os.path.normpath(f"{folder.rstrip('/')}/{word}") if folder is not None else None
