"""The replicated namespace: directories, files, links, attributes, replicas, quota, configuration.

ops        every mutation as a value; what enters the journal
state      Namespace: applies ops, keeps uncommitted changes apart, digest
queries    lookup, list, find, du: read-only views
admit      permission, quota and name checks; turns a request into ops
acl        sys.acl and user.acl; policy: sys.forced.*
snapshot   namespace <-> bytes; invariants: the checker
"""
