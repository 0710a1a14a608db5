"""ACLs in EOS' format, and POSIX permission bits: who may do what with an inode.

`sys.acl` and, where `sys.eval.useracl` is set, `user.acl` hold rules `subject:id:rights` joined by
commas. Subjects: `u` (uid or the caller's own login name), `g` (gid), `z:rights` (everybody);
`egroup` and `k` (key) are accepted and match nobody here. Rights: r w wo x m !m d !d +d u !u +u q c
i a A X p t, with `!` also before r, w, x. A grant adds to the POSIX bits, a denial beats both,
`+d` and `+u` (in sys.acl only) beat a denial. Source: EOS mgm/acl/README.md and Acl.cc.
A file is judged by its directory's rules with its own appended.
"""

import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import ACL_RULES_MAX
from thesan.core.namespace.inode import S_IFDIR, S_IFMT, Directory, Inode

READ: Final = 1 << 0
WRITE: Final = 1 << 1
WRITE_ONCE: Final = 1 << 2
BROWSE: Final = 1 << 3
CHMOD: Final = 1 << 4
UPDATE: Final = 1 << 5
DELETE: Final = 1 << 6
CHOWN: Final = 1 << 7
QUOTA: Final = 1 << 8
IMMUTABLE: Final = 1 << 9
ARCHIVE: Final = 1 << 10
SYS_ACL: Final = 1 << 11
SYS_XATTR: Final = 1 << 12
PREPARE: Final = 1 << 13
TOKEN: Final = 1 << 14

_BITS: Final = {
    "r": READ,
    "w": WRITE,
    "wo": WRITE_ONCE,
    "x": BROWSE,
    "m": CHMOD,
    "u": UPDATE,
    "d": DELETE,
    "c": CHOWN,
    "q": QUOTA,
    "i": IMMUTABLE,
    "a": ARCHIVE,
    "A": SYS_ACL,
    "X": SYS_XATTR,
    "p": PREPARE,
    "t": TOKEN,
}
_SYS_ONLY: Final = QUOTA | ARCHIVE | SYS_ACL | SYS_XATTR | PREPARE | TOKEN | CHOWN
"""Rights that a user.acl can't give."""
_DENIABLE: Final = frozenset("rwxmduiaAXptcq") | {"wo"}
_CACHED_MAX: Final = 4096
_ID_DIGITS_MAX: Final = 10
"""Of a uid or gid: 32 bits. Python refuses to read numbers of thousands of digits."""

Step = tuple[str, int]
"""Sign (empty, `!` or `+`) and right."""
Rule = tuple[str, str, tuple[Step, ...], bool]
"""Subject kind, id, steps, and whether it is of a sys.acl."""
Verdict = tuple[int, int]
"""(granted, denied) rights."""

NOTHING: Final[Verdict] = (0, 0)


def parse(text: str, *, system: bool) -> tuple[Rule, ...]:
    """Rules of one ACL. Raises OperationError EINVAL at the first fault."""
    rules = [_parse_rule(part.strip(), system) for part in text.split(",") if part.strip()]
    if len(rules) > ACL_RULES_MAX:
        raise OperationError(errno.EINVAL, f"an ACL has at most {ACL_RULES_MAX} rules")
    return tuple(rules)


def _parse_rule(part: str, system: bool) -> Rule:
    fields = part.split(":")
    kind = fields[0]
    if kind == "z" and len(fields) in (2, 3):
        who, rights = "", fields[-1]
    elif kind in ("u", "g", "k", "egroup") and len(fields) == 3 and fields[1]:
        who, rights = fields[1], fields[2]
    else:
        raise OperationError(errno.EINVAL, f"not an ACL rule: {part[:80]!r}")
    if kind in ("u", "g") and who.isdecimal() and len(who) > _ID_DIGITS_MAX:
        raise OperationError(errno.EINVAL, f"not an id of an ACL rule: {who[:80]!r}")
    return kind, who, _parse_rights(part, rights), system


def _parse_rights(part: str, rights: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    index = 0
    while index < len(rights):
        sign = rights[index] if rights[index] in "!+" else ""
        index += len(sign)
        word = rights[index : index + 1]
        if rights[index : index + 2] == "wo":
            word = "wo"
        index += len(word)
        if (
            word not in _BITS
            or (sign == "+" and word not in "ud")
            or (sign == "!" and word not in _DENIABLE)
        ):
            raise OperationError(errno.EINVAL, f"not an ACL right: {sign}{word} in {part[:80]!r}")
        steps.append((sign, _BITS[word]))
    return tuple(steps)


def evaluate(rules: tuple[Rule, ...], who: Identity) -> Verdict:
    """What the rules give and deny to a caller."""
    granted = denied = reallowed = 0
    for kind, name, steps, system in rules:
        if not _matches(kind, name, who):
            continue
        for sign, bit in steps:
            if sign == "!":
                denied |= bit
                granted &= ~(bit | UPDATE if bit == WRITE else bit)
            elif sign == "+":
                if system:
                    reallowed |= bit
                    granted |= bit
                    if bit == DELETE:
                        granted &= ~WRITE_ONCE
            elif bit & _SYS_ONLY and not system:
                continue
            elif bit == WRITE:
                if not granted & WRITE_ONCE:
                    granted |= WRITE | UPDATE
            else:
                granted |= bit
    denied &= ~reallowed
    return granted & ~denied, denied


def _matches(kind: str, name: str, who: Identity) -> bool:
    if kind == "z":
        return True
    if kind == "u":
        return name == str(who.uid) or name == who.name
    if kind == "g":
        return name.isdecimal() and int(name) != 0 and int(name) in who.gids
    return False


def convert_ids(text: str, uid_of: dict[str, int], gid_of: dict[str, int]) -> str:
    """Replace user and group names by ids (unknown names stay), as EOS stores ACLs."""
    parts: list[str] = []
    for part in text.split(","):
        fields = part.strip().split(":")
        if len(fields) == 3 and fields[0] == "u" and fields[1] in uid_of:
            fields[1] = str(uid_of[fields[1]])
        elif len(fields) == 3 and fields[0] == "g" and fields[1] in gid_of:
            fields[1] = str(gid_of[fields[1]])
        parts.append(":".join(fields))
    return ",".join(parts)


# -- of an inode ---------------------------------------------------------------------------------
_rules_of_text: dict[tuple[bytes, bytes, bytes], tuple[Rule, ...]] = {}


def verdict(directory: Inode | None, who: Identity, inode: Inode | None = None) -> Verdict:
    """ACL verdict for a directory, or for a file in it. Rules that can't be read give nothing."""
    attributes = directory.xattrs if directory is not None else None
    own = inode.xattrs if inode is not None else None
    if attributes is None and own is None:
        return NOTHING
    attributes, own = attributes or {}, own or {}
    evaluator = own if "user.acl" in own else attributes
    user = evaluator.get("user.acl", b"") if "sys.eval.useracl" in evaluator else b""
    key = attributes.get("sys.acl", b""), own.get("sys.acl", b""), user
    rules = _rules_of_text.get(key)
    if rules is None:
        rules = _lenient(key[0], True) + _lenient(key[1], True) + _lenient(key[2], False)
        if len(_rules_of_text) >= _CACHED_MAX:
            _rules_of_text.clear()
        _rules_of_text[key] = rules
    return evaluate(rules, who) if rules else NOTHING


def _lenient(text: bytes, system: bool) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for part in text.decode(errors="replace").split(","):
        try:
            rules += parse(part, system=system)
        except OperationError:
            continue
    return tuple(rules[:ACL_RULES_MAX])


def mode_bits(inode: Inode, who: Identity) -> int:
    """rwx (4, 2, 1) of the one POSIX class that the caller falls in; root has all."""
    mode = inode.mode
    if who.uid == 0:
        return 7 if mode & S_IFMT == S_IFDIR or mode & 0o111 else 6
    if who.uid == inode.uid:
        return mode >> 6 & 7
    if inode.gid in who.gids:
        return mode >> 3 & 7
    return mode & 7


def rights(inode: Inode, who: Identity, parent: Inode | None = None) -> int:
    """rwx (4, 2, 1) that the caller has: POSIX bits and ACL together.

    For a file give its directory as `parent`: the directory's ACL holds for it.
    """
    bits = mode_bits(inode, who)
    if who.uid == 0 or (inode.xattrs is None and (parent is None or parent.xattrs is None)):
        return bits
    directory = isinstance(inode, Directory)
    granted, denied = verdict(inode, who) if directory else verdict(parent, who, inode)
    if granted & READ or (directory and granted & BROWSE):
        bits |= 4
    if granted & (WRITE | WRITE_ONCE if directory else UPDATE):
        bits |= 2
    if directory and granted & BROWSE:
        bits |= 1
    if denied & READ:
        bits &= ~4
    if denied & WRITE or (not directory and denied & UPDATE):
        bits &= ~2
    if denied & BROWSE and directory:
        bits &= ~5
    return bits
