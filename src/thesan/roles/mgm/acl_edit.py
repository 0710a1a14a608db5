"""`acl u:1000=rwx PATH` and its relatives: one rule changed in the text of an ACL, as EOS does.

`u:ID=RIGHTS` sets what the subject has (nothing removes it), `u:ID:+RIGHTS` and `u:ID:-RIGHTS` add
and take away; `g:` and `z` (everybody) likewise. Whether the result is a valid ACL is admission's
business.
"""

import errno

from thesan.core.model.errors import OperationError

_KINDS = ("u", "g", "k", "egroup", "z")


def edit(text: str, change: str) -> str:
    """The ACL `text` after `change`; rules keep their order, a new one comes last.

    Raises OperationError EINVAL for a change that can't be read.
    """
    subject, action, rights = _parse(change)
    rules = [rule.strip() for rule in text.split(",") if rule.strip()]
    edited: list[str] = []
    found = False
    for rule in rules:
        head, _, old = rule.rpartition(":")
        if head != subject:
            edited.append(rule)
            continue
        if not found:
            found = True
            new = _combine(old, action, rights)
            if new:
                edited.append(f"{subject}:{new}")
    if not found:
        new = _combine("", action, rights)
        if new:
            edited.append(f"{subject}:{new}")
    return ",".join(edited)


def _parse(change: str) -> tuple[str, str, str]:
    """(subject, one of `= + -`, rights)."""
    subject, equals, rights = change.partition("=")
    if equals:
        action = "="
    else:
        subject, _, rights = change.rpartition(":")
        action, rights = rights[:1], rights[1:]
        if action not in ("+", "-") or not rights:
            raise _unreadable(change)
    kind, _, name = subject.partition(":")
    if kind not in _KINDS or (kind == "z") != (not name) or "," in change:
        raise _unreadable(change)
    return subject, action, rights


def _combine(old: str, action: str, rights: str) -> str:
    if action == "=":
        return rights
    steps = _steps(old)
    for step in _steps(rights):
        if action == "+":
            steps[step] = None
        else:
            steps.pop(step, None)
    return "".join(steps)


def _steps(rights: str) -> dict[str, None]:
    """Rights one by one, with their sign; `wo` is one of them. In order, each once."""
    steps: dict[str, None] = {}
    index = 0
    while index < len(rights):
        end = index + 1
        if rights[index] in "!+" and end < len(rights):
            end += 1
        if rights[end - 1 : end + 1] == "wo":
            end += 1
        steps[rights[index:end]] = None
        index = end
    return steps


def _unreadable(change: str) -> OperationError:
    return OperationError(
        errno.EINVAL, f"not an ACL change: {change[:80]!r} (u:ID=rwx, g:ID:+w, z:-d)"
    )
