"""Who else could be master, as the others say themselves."""

from thesan.core.leadership.handover import Candidate, best_successor
from thesan.roles.mgm.process import Process


def candidates(process: Process) -> list[Candidate]:
    """The other members, as they were heard last."""
    now_s = process.now_s()
    return [
        Candidate(
            address=peer.address,
            is_online=peer.is_online(now_s) and not peer.is_gone,
            is_eligible=peer.beat.eligible if peer.beat is not None else False,
            applied=peer.beat.applied if peer.beat is not None else 0,
            why=peer.beat.why if peer.beat is not None else "it has not said anything",
        )
        for peer in process.peers.all()
    ]


def is_replaceable(process: Process) -> bool:
    """Another MGM could be master now: this one may give up."""
    return bool(best_successor(candidates(process), process.applied()))
